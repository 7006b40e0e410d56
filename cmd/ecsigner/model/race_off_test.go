//go:build !race

package model_test

const defaultHistories = 10_000
