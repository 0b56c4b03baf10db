package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"orrery/reports/csv"
	reportterm "orrery/reports/term"
	"orrery/sim/catalog"
	"orrery/sim/result"
	"orrery/sim/strict"
)

func newCatalog() *cobra.Command {
	c := &cobra.Command{
		Use:   "catalog",
		Short: "What is known of GPUs, nodes, networks and prices, every figure with its source",
		Long: `The catalogue holds the hardware that scenarios name. Every figure has a unit, a source, a date and a confidence; what
other documents say instead is kept beside it, and what is not known says why. Links and ports are given in one
direction, TFLOPS dense. Files of your own add to it or replace entries: --catalog here, catalog: in a scenario.`,
		Example: `  orrery catalog list nodes
  orrery catalog show h100
  orrery catalog show my-gpu --catalog mine.yaml`,
	}
	c.AddCommand(newCatalogList(), newCatalogShow())
	return c
}

// loadCatalog reads the shipped catalogue and the user's files.
func loadCatalog(paths []string) (*catalog.Catalog, error) {
	var files []catalog.File
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, usageError{err}
		}
		files = append(files, catalog.File{Name: path, Data: data})
	}
	c, err := catalog.Load(files...)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

const catalogFlag = "catalogue file of your own, read after the shipped ones; repeatable"

func newCatalogList() *cobra.Command {
	var files []string
	var format string
	c := &cobra.Command{
		Use:   "list [" + strings.Join(catalog.Kinds(), "|") + "]",
		Short: "List the catalogue, or one kind of entries",
		Long: `A table has the figures most asked for; -o json has all of them with their sources, and -o csv one table for a
spreadsheet.`,
		Example: `  orrery catalog list
  orrery catalog list gpus
  orrery catalog list prices -o csv > prices.csv
  orrery catalog list nodes -o json | jq '.[] | select(.key == "gb200-nvl72")'
  orrery catalog list gpus --catalog mine.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			kinds := catalog.Kinds()
			if len(args) > 0 {
				if !slices.Contains(kinds, args[0]) {
					return usageError{fmt.Errorf("no kind %q is in the catalogue; %s", args[0],
						strict.Suggest(args[0], kinds))}
				}
				kinds = args
			}
			cat, err := loadCatalog(files)
			if err != nil {
				return err
			}
			return listCatalog(c.OutOrStdout(), cat, kinds, format)
		},
	}
	c.Flags().StringArrayVar(&files, "catalog", nil, catalogFlag)
	c.Flags().StringVarP(&format, "output", "o", "table", "table, json or csv")
	return c
}

func listCatalog(w io.Writer, cat *catalog.Catalog, kinds []string, format string) error {
	switch format {
	case "table":
		for i, kind := range kinds {
			if i > 0 {
				fmt.Fprintln(w)
			}
			if err := reportterm.Table(w, catalogTable(cat, kind), allRows(w)); err != nil {
				return err
			}
		}
		return nil
	case "json":
		var entries []catalog.Entry
		for _, kind := range kinds {
			entries = append(entries, cat.Entries(kind)...)
		}
		return result.WriteJSON(w, entries)
	case "csv":
		if len(kinds) > 1 {
			return usageError{fmt.Errorf("-o csv writes one table: name one of %s", strings.Join(kinds, ", "))}
		}
		return csv.Table(w, catalogTable(cat, kinds[0]))
	}
	return usageError{fmt.Errorf("-o %q: choose table, json or csv", format)}
}

// allRows asks for tables that leave nothing out.
func allRows(w io.Writer) reportterm.Options { return reportterm.Options{Width: width(w), Rows: -1} }

func newCatalogShow() *cobra.Command {
	var files []string
	var format string
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Print everything about a GPU, node type, network or reference topology",
		Long: `NAME is a key or an alias; upper and lower case are the same. Of a GPU its prices are printed, too. "or" begins a line
with what another document says instead.`,
		Example: `  orrery catalog show h100
  orrery catalog show gb200-nvl72
  orrery catalog show infiniband-ndr -o json
  orrery catalog show my-gpu --catalog mine.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cat, err := loadCatalog(files)
			if err != nil {
				return err
			}
			entries, err := cat.Find(args[0])
			if err != nil {
				return usageError{err}
			}
			switch w := c.OutOrStdout(); format {
			case "table":
				return showEntries(w, entries)
			case "json":
				return result.WriteJSON(w, entries)
			}
			return usageError{fmt.Errorf("-o %q: choose table or json", format)}
		},
	}
	c.Flags().StringArrayVar(&files, "catalog", nil, catalogFlag)
	c.Flags().StringVarP(&format, "output", "o", "table", "table or json")
	return c
}
