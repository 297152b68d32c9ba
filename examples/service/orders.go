package main

import (
	"context"
	"database/sql"
	"fmt"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/reprise-go/reprise/retry"
)

// orders are kept in SQLite.
type orders struct {
	db    *sql.DB
	guard retry.Policy
}

func openOrders(dsn string, guard retry.Policy) (*orders, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("the database %s: %w", dsn, err)
	}
	db.SetMaxOpenConns(1) // SQLite writes one at a time
	_, err = db.Exec(`CREATE TABLE IF NOT EXISTS orders (
		id INTEGER PRIMARY KEY, product TEXT NOT NULL, cents INTEGER NOT NULL, payment TEXT NOT NULL
	)`)
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("the database %s: %w", dsn, err)
	}
	return &orders{db, guard}, nil
}

// add returns the order's number.
func (o *orders) add(ctx context.Context, p product, paid payment) (int64, error) {
	return retry.Do(ctx, o.guard, func(ctx context.Context) (int64, error) {
		r, err := o.db.ExecContext(ctx,
			`INSERT INTO orders (product, cents, payment) VALUES (?, ?, ?)`,
			p.ID, p.Cents, paid.Reference)
		if err != nil {
			return 0, err
		}
		return r.LastInsertId()
	})
}

// product returns the ordered product. sql.ErrNoRows is an answer and not a failure.
func (o *orders) product(ctx context.Context, order int64) (string, error) {
	return retry.Do(ctx, o.guard, func(ctx context.Context) (id string, err error) {
		err = o.db.QueryRowContext(ctx, `SELECT product FROM orders WHERE id = ?`, order).Scan(&id)
		return id, err
	})
}
