#!/bin/sh
# The tables of docs/experiments/2026-11-27-offline-learners.md: sh benchmarks/offline/tables.sh NAME [MINUTES]
#
# One table, for MINUTES (14) at most; the same line goes on where it was stopped, a seed of every learner after the
# other, and prints the table when all are done. Networks of 128 units where data are few. KNUCKLE_DATA as always.
set -eu
export OMP_NUM_THREADS=1
limit="${2:-14}m"
data="${KNUCKLE_DATA:-../shared/data}"

narrow() {
    for learner in "$@"; do printf '%s.width=128,' "$learner"; done
    printf 'odice.policy_width=128,odice-imitation.policy_width=128'
}

compare() {
    out="runs/offline-$1"
    shift
    timeout "$limit" .venv/bin/python -m knuckle.cli eval offline --seeds 5 --out "$out" --json "$out/figures.json" "$@"
}

case "${1:-}" in
    reorient)
        compare reorient --task reorient-yaw60 --data runs/cloning/yaw60 --steps 1000 --choice-steps 1000 \
            --lambdas 0.4+0.5+0.6 --episodes 20 --learners bc+iql+td3-bc+odice+shuffled-actions \
            --set "$(narrow bc shuffled-actions iql td3-bc odice)" ;;
    imitation)
        compare imitation --task hopper --data hopper-expert-v0:10 --steps 5000 --learners odice-imitation+bc \
            --set "$(narrow odice-imitation bc)" ;;
    door)
        compare door --task door --data "$data/dapg/door_human_25.npz" --steps 2000 --choice-steps 2000 \
            --lambdas 0.4+0.5+0.6 --learners nearest-replay+shuffled-actions+bc+bc-10+iql+td3-bc+odice+cql \
            --set "$(narrow shuffled-actions bc bc-10 iql td3-bc odice cql),cql.samples=2" ;;
    pointmaze)
        compare pointmaze --task pointmaze --data pointmaze-walks-v0 --steps 2000 --choice-steps 2000 \
            --lambdas 0.4+0.5+0.6 --learners bc+bc-10+iql+td3-bc+odice --set "$(narrow bc bc-10 iql td3-bc odice)" ;;
    hopper-medium | hopper-replay | hopper-medium-expert)
        compare "$1" --task hopper --data "$1-v0" --steps 50000 --choice-steps 15000 --learners bc+iql+td3-bc+odice ;;
    *)
        echo "usage: tables.sh reorient|imitation|door|pointmaze|hopper-medium|hopper-replay|hopper-medium-expert [MINUTES]" >&2
        exit 2 ;;
esac
