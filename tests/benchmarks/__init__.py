"""What the gateway costs, measured from outside, each figure beside a floor taken in the same run. `make bench` runs it.

Every part is a process of its own, on loopback, so that CPU can be told apart: the upstream (`upstream`), the floor (`bare`), the
daemon, and the load generator (`load`). `phases` is the table of what is measured, `systems` of what it is measured on; a new
figure is a new line in one of them, or in `micro` for a function that can be timed by itself. Linux only.
"""
