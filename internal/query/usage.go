package query

// usageText is what -h prints, with the name of the program for NAME.
const usageText = `Usage: NAME [FLAGS]

Answers questions about the files of a data container. Without flags it
prints each file and its metadata as JSON, in the order of paths.

What to print
  -ls              paths only
  -metric M        files ordered by metric M (a key of the metadata, or a
                   path such as n.x for key x of the object n)
  -metric M -search T
                   path and value of M where the value contains T
  -count           how many files match
  -info            what is known of the dataset as a whole
  -sql STMT        the result of one SQL statement that reads; the view is
                   files (path, name, dir, type, size, sha256, mtime, mode,
                   link, meta); metrics stand for their values as columns
                   do: csv.rows, or "odd key" in double quotes
  -q QUERY         the answer to a query that the dataset has a name for (see
                   -info, and the end of -h); -limit, -format and so on count
  -p KEY=VALUE     the value of a parameter of the query; may be repeated
  -cat PATH        the bytes of one file, checked against its digest

Which files
  -get PATH        the file with this path; if there is none, all files
                   whose path contains it
  -text WORDS      files with all these words in path or metadata; WORD*
                   finds words that begin so (needs a full-text index)
  -where EXPR      files for which an SQL expression over the columns of
                   view files, and over metrics, is true

Order and amount
  -order M         order by metric M
  -desc            from the end
  -limit N         at most N files; 0 is no limit

Output
  -format F        table, json, jsonl, csv or tsv; -sql prints a table and
                   all else plain text without it; of -info it is json or
                   a standard: schema.org, croissant, ro-crate, datapackage,
                   datacite, datacite-xml, bagit, bag-info, bids, markdown
  -0               paths only, each ended by a NUL byte, nothing escaped
  -timeout D       time that SQLite may take for -sql or -where, such as
                   90s or 5m (default 1m; 0 is no limit)
  -max-rows N      an error if -sql finds more rows; 0 is no limit

Files
  -export DIR      write the files (all, or those selected) into DIR
  -verify          compare every file with the catalog

Service
  -start           stay up until SIGTERM or SIGINT
  -health          check that catalog and data are there
  -version         print the version
  -h               print this help

Exit codes: 0 done (also if nothing matches), 1 error or -verify found a
difference, 2 wrong usage, 130 interrupted.

Examples
  NAME -get /data/avocado.txt
  NAME -metric size -desc -limit 10
  NAME -metric size -search 1024
  NAME -where "size > 1e6 AND name LIKE '%.nii.gz'" -format csv
  NAME -sql 'SELECT dir, count(*), sum(size) FROM files GROUP BY dir'
  NAME -where "csv.rows > 100 AND mime.type = 'text/csv'" -count
  NAME -info -format croissant
  NAME -where "type = 'symlink'" -ls -0 | xargs -0 ls -l
`
