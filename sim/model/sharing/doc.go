// Package sharing says how fast work goes on a part of a GPU (a time-sliced replica, an MPS client, a MIG instance, a
// fixed share), against the same work alone on the whole GPU. Card says with what formulas, where they come from, and
// what they leave out.
package sharing
