"""The simulated hand: models built in code, the world that runs them, what a camera and an IMU would see of them.

`scene` builds table, hand and object; `world.SimWorld` is a Hand and holds the truth; `depth.SimDepthCamera` is a
DepthCamera of it; `imu.PalmImu` an inertial and magnetic sensor; `objects` are the objects as data;
`video.VideoWriter` writes MP4 files; `reorient` holds the task to learn and many worlds of it at once.
"""
