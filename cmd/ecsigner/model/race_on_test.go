//go:build race

package model_test

const defaultHistories = 500
