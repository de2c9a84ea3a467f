#!/bin/sh
# The tables of docs/experiments/2026-11-27-offline-learners.md: sh benchmarks/offline/tables.sh NAME [MINUTES]
#
# One table, for MINUTES (14) at most; the same line goes on where it was stopped, a seed of every learner after the
# other, and prints the table when all are done. SEEDS (5) runs of each learner. KNUCKLE_DATA as always. Networks
# have 128 units; where data and steps are few, targets follow by a tau at which values settle in those steps.
set -eu
export OMP_NUM_THREADS=1
limit="${2:-14}m"
data="${KNUCKLE_DATA:-../shared/data}"

# all SETTING LEARNER...: the setting for each of them
all() {
    setting="$1"
    shift
    for learner in "$@"; do printf '%s.%s,' "$learner" "$setting"; done
}

compare() {
    out="runs/offline-$1"
    shift
    timeout "$limit" .venv/bin/python -m knuckle.cli eval offline --seeds "${SEEDS:-5}" --out "$out" \
        --json "$out/figures.json" "$@"
}

case "${1:-}" in
    reorient)
        compare reorient --task reorient-yaw60 --data runs/cloning/yaw60 --steps 1000 --choice-steps 1000 \
            --lambdas 0.4+0.5+0.6 --episodes 20 --learners bc+iql+td3-bc+odice+shuffled-actions \
            --set "$(all width=128 bc shuffled-actions iql td3-bc odice)$(all tau=0.05 td3-bc odice)td3-bc.alpha=0.3,odice.policy_width=128,odice.rate=0.0003,odice.weight=exact" ;;
    imitation)
        compare imitation --task hopper --data hopper-expert-v0:10 --steps 5000 --learners odice-imitation+bc \
            --set "$(all width=128 odice-imitation bc)odice-imitation.policy_width=128" ;;
    door)
        few="bc bc-10 iql td3-bc odice cql"
        compare door --task door --data "$data/dapg/door_human_25.npz" --steps 3000 --choice-steps 3000 \
            --lambdas 0.4+0.5+0.6 --learners nearest-replay+shuffled-actions+bc+bc-10+iql+td3-bc+odice+cql \
            --set "$(all width=128 shuffled-actions $few)$(all batch=128 shuffled-actions $few)$(all rate=0.001 shuffled-actions $few)$(all tau=0.05 iql td3-bc odice cql)odice.policy_width=128,cql.samples=2,cql.policy_rate=0.001" ;;
    pointmaze)
        few="bc bc-10 iql td3-bc odice"
        compare pointmaze --task pointmaze --data pointmaze-walks-v0 --steps 6000 --choice-steps 6000 \
            --lambdas 0.4+0.45+0.5+0.55 --learners bc+bc-10+iql+td3-bc+odice \
            --set "$(all width=128 $few)$(all batch=128 $few)$(all rate=0.001 $few)$(all tau=0.05 iql td3-bc odice)odice.policy_width=128,odice.norm=false,odice.twin=false,iql.expectile=0.9,iql.beta=10" ;;
    hopper-medium | hopper-replay | hopper-medium-expert)
        four="bc iql td3-bc odice"
        compare "$1" --task hopper --data "$1-v0" --steps 50000 --lambdas "" --learners bc+iql+td3-bc+odice \
            --set "$(all width=128 $four)odice.policy_width=128,odice.weight=exact,odice.squash=true,odice.observations=scaled" ;;
    *)
        echo "usage: tables.sh reorient|imitation|door|pointmaze|hopper-medium|hopper-replay|hopper-medium-expert [MINUTES]" >&2
        exit 2 ;;
esac
