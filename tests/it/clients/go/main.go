// clickhouse-go over HTTP, by which Grafana's plugin asks too.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

const table = `CREATE TABLE %s (id UInt64, name LowCardinality(String), note Nullable(String),
	day Date, at DateTime64(3, 'UTC'), ok Bool, tags Array(String)) ENGINE = MergeTree ORDER BY id`

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must(ok bool, what ...any) {
	if !ok {
		panic(fmt.Sprint(what...))
	}
}

type method = clickhouse.CompressionMethod

func options(method method, settings clickhouse.Settings) *clickhouse.Options {
	options := &clickhouse.Options{
		Protocol: clickhouse.HTTP,
		Addr:     []string{os.Getenv("ENGINE")},
		Auth: clickhouse.Auth{
			Database: os.Getenv("DATABASE"), Username: "default", Password: os.Getenv("PASSWORD"),
		},
		Settings: settings,
	}
	if method != clickhouse.CompressionNone {
		options.Compression = &clickhouse.Compression{Method: method}
	}
	return options
}

// A table, an insert, parameters and every type of our views.
func use(ctx context.Context, method method, name string) {
	conn, err := clickhouse.Open(options(method, nil))
	check(err)
	check(conn.Exec(ctx, fmt.Sprintf(table, name)))
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+name)
	check(err)
	at := time.Date(2026, 3, 1, 9, 12, 33, 123e6, time.UTC)
	for n := range uint64(100_000) {
		var note *string
		if n%2 == 0 {
			note = new(string)
		}
		check(batch.Append(n, fmt.Sprint("n", n%3), note, at, at, n%2 == 1, []string{"a", "ü"}))
	}
	check(batch.Send())
	rows, err := conn.Query(ctx, "SELECT * FROM "+name+" ORDER BY id")
	check(err)
	var count uint64
	for ; rows.Next(); count++ {
		var row struct {
			id        uint64
			name      string
			note      *string
			day, when time.Time
			ok        bool
			tags      []string
		}
		check(rows.Scan(&row.id, &row.name, &row.note, &row.day, &row.when, &row.ok, &row.tags))
		must(row.id == count && row.when.Equal(at) && len(row.tags) == 2, row)
	}
	check(rows.Err())
	must(count == 100_000, count)
	var found uint64
	id := clickhouse.WithParameters(clickhouse.Parameters{"id": "7"})
	below := "SELECT count() FROM " + name + " WHERE id < "
	check(conn.QueryRow(clickhouse.Context(ctx, id), below+"{id:UInt64}").Scan(&found))
	must(found == 7, found)
	check(conn.QueryRow(ctx, below+"?", 8).Scan(&found))
	must(found == 8, found)
	for _, view := range strings.Split(os.Getenv("VIEWS"), ",") {
		read(ctx, conn, view)
	}
	err = conn.Exec(ctx, "SELECT * FROM nowhere")
	var exception *clickhouse.Exception
	must(errors.As(err, &exception) && exception.Code == 60, err)
	late := "SELECT number, throwIf(number = 3000000) FROM numbers(4000000)"
	rows, err = conn.Query(ctx, late)
	check(err)
	for rows.Next() {
	}
	must(strings.Contains(rows.Err().Error(), "395"), rows.Err())
	check(conn.Close())
}

// This client reads no states of aggregate functions; the engine turns a bitmap into numbers.
func read(ctx context.Context, conn clickhouse.Conn, view string) {
	described, err := conn.Query(ctx, "SELECT name, type FROM system.columns WHERE"+
		" database = currentDatabase() AND table = ?", view)
	check(err)
	var names []string
	for described.Next() {
		var name, kind string
		check(described.Scan(&name, &kind))
		if strings.HasPrefix(kind, "AggregateFunction") {
			name = "bitmapToArray(" + name + ") AS " + name
		}
		names = append(names, name)
	}
	rows, err := conn.Query(ctx, "SELECT "+strings.Join(names, ", ")+" FROM "+view)
	check(err)
	must(rows.Next() && len(rows.Columns()) == len(names), view)
	values := make([]any, len(names))
	for at, kind := range rows.ColumnTypes() {
		values[at] = reflect.New(kind.ScanType()).Interface()
	}
	check(rows.Scan(values...))
	check(rows.Close())
}

// A session with a temporary table, by database/sql.
func useSession(ctx context.Context) {
	settings := clickhouse.Settings{"session_id": "of go", "session_timeout": 30}
	db := clickhouse.OpenDB(options(clickhouse.CompressionNone, settings))
	db.SetMaxOpenConns(1)
	_, err := db.ExecContext(ctx, "CREATE TEMPORARY TABLE kept (n UInt8)")
	check(err)
	_, err = db.ExecContext(ctx, "INSERT INTO kept VALUES (1), (2)")
	check(err)
	var sum sql.NullInt64
	check(db.QueryRowContext(ctx, "SELECT toInt64(sum(n)) FROM kept").Scan(&sum))
	must(sum.Int64 == 3, sum)
	check(db.Close())
}

func main() {
	ctx := context.Background()
	use(ctx, clickhouse.CompressionNone, "go_plain")
	use(ctx, clickhouse.CompressionLZ4, "go_lz4")
	use(ctx, clickhouse.CompressionZSTD, "go_zstd")
	use(ctx, clickhouse.CompressionGZIP, "go_gzip")
	useSession(ctx)
	fmt.Println("done")
}
