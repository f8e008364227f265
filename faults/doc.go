// Package faults is what happens to the real cdb program when the machine
// under it fails: it is killed at any point, disks are full, break or vanish,
// users press Ctrl-C, and files change while they are read. It has tests only.
//
// The tests build the program once, with stand-ins for the entrypoints of
// images, as nothing here runs them. Random points come from a seed that is
// logged; FAULTS_SEED repeats a run as far as timing allows, FAULTS_ROUNDS
// sets the number of rounds with kill -9. What needs root, mounts or loop
// devices is skipped with a reason where they cannot be had.
package faults
