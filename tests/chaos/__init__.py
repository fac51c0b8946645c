"""What storage and the daemon must survive, done to them on purpose, many times over: `make chaos`.

`kills` ends a daemon with `kill -9` under load, again and again; `faults` fails every single operation on the disk in turn; `damage`
cuts and changes every bit that is stored; `equality` asks every provider the same questions. Each ends at the first promise that is
broken, keeps what is on disk then, and says how to do it again. `make test` runs a short form of each.
"""
