// Package serving is the model of inference servers: how long an iteration of a model takes on a device (a roofline),
// how many tokens the KV cache holds, and how engines put requests into iterations.
package serving
