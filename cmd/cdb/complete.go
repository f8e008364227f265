package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// plainUsage takes the quotes that mark values out of the usage of all flags,
// as shells show it as it is.
func plainUsage(cmd *cobra.Command) {
	plain := func(f *pflag.Flag) { _, f.Usage = pflag.UnquoteUsage(f) }
	cmd.LocalFlags().VisitAll(plain)
	for _, c := range cmd.Commands() {
		plainUsage(c)
	}
}

// completeImages offers the images of the local store as the first argument,
// beside files.
func (a *app) completeImages(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.imageNames(cmd, toComplete), cobra.ShellCompDirectiveDefault
}

// completeNames offers the images of the local store alone, each once.
func (a *app) completeNames(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	for _, n := range a.imageNames(cmd, toComplete) {
		given := false
		for _, arg := range args {
			given = given || arg == n
		}
		if !given {
			names = append(names, n)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// imageNames are those that begin with prefix. A shell cannot be told of
// errors, so there are none then.
func (a *app) imageNames(cmd *cobra.Command, prefix string) []cobra.Completion {
	local, err := a.local()
	if err != nil {
		return nil
	}
	images, err := local.List(cmd.Context())
	if err != nil {
		return nil
	}
	var names []cobra.Completion
	for _, i := range images {
		if n := i.Name + ":" + i.Tag; strings.HasPrefix(n, prefix) {
			names = append(names, n)
		}
	}
	return names
}
