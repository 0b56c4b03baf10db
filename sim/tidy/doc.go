// Package tidy has no code but a test: the rules of the house for all Go files of the project, which imports go down,
// how long files, functions and lines are, which calls no run may make, and that what is exported is documented. It
// stands apart from the simulator's own tests, so that it is checked in seconds.
package tidy
