// Package bench holds the project's figures: CPU per scheduled pod, peak memory, wall time of real replays. Each is
// measured on the program as users run it, in a process of its own. Run it with `make bench`; nothing here asserts a
// time, because a time is a property of the machine.
package bench
