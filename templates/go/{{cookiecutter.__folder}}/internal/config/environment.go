package config

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// environment collects what is wrong with the variables, so that an operator sees all of it at once.
type environment struct {
	getenv   func(string) string
	problems []string
}

func (e *environment) refuse(err error) {
	e.problems = append(e.problems, err.Error())
}

func (e *environment) err() error {
	if len(e.problems) == 0 {
		return nil
	}
	return errors.New(strings.Join(e.problems, "; "))
}

// read returns the parsed value of a variable, or fallback when it is empty or refused. What is refused is told by its
// name alone: the value may be a secret that got into the wrong variable.
func read[T any](e *environment, name string, fallback T, parse func(string) (T, error)) T {
	value := e.getenv(name)
	if value == "" {
		return fallback
	}
	parsed, err := parse(value)
	if err != nil {
		e.refuse(fmt.Errorf("%s must be %w, for example %v", name, err, fallback))
		return fallback
	}
	return parsed
}

func integer(lowest, highest int) func(string) (int, error) {
	return func(value string) (int, error) {
		n, err := strconv.Atoi(value)
		if err != nil || n < lowest || n > highest {
			return 0, fmt.Errorf("a whole number from %d to %d", lowest, highest)
		}
		return n, nil
	}
}

func duration(shortest time.Duration) func(string) (time.Duration, error) {
	return func(value string) (time.Duration, error) {
		d, err := time.ParseDuration(value)
		if err != nil || d < shortest {
			return 0, fmt.Errorf("a duration of at least %s", shortest)
		}
		return d, nil
	}
}

func level(value string) (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(value)); err != nil {
		return l, errors.New("one of debug, info, warn, error")
	}
	return l, nil
}

func text(value string) (string, error) {
	return value, nil
}
