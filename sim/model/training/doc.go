// Package training says how fast a training job runs from where its ranks landed: the time of an optimiser step by what
// the GPUs do or wait for, in the best placement and in the actual one, and the bytes that the step sends over every
// layer of the network.
//
// Ranks are laid out as Megatron-LM does by default: tensor parallelism innermost, then context, data (expert
// parallelism inside it) and pipeline outermost. Estimate is a pure function: no clock, no randomness, no Kubernetes.
// README.md, which a test writes, holds the model's card and its validation against published figures.
package training
