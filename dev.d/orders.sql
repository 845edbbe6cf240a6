-- What ./dev run puts into its target: a small shop, and the two group roles that the catalogue gives.
CREATE SCHEMA shop;

CREATE TABLE shop.customers (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    country char(2) NOT NULL
);
CREATE TABLE shop.orders (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer int NOT NULL REFERENCES shop.customers,
    placed_at timestamptz NOT NULL,
    cents bigint NOT NULL CHECK (cents > 0),
    paid boolean NOT NULL DEFAULT false
);

INSERT INTO shop.customers (name, country)
SELECT 'Customer ' || n, (ARRAY['DE', 'PT', 'SE', 'NG', 'JP'])[1 + n % 5] FROM generate_series(1, 200) AS n;
INSERT INTO shop.orders (customer, placed_at, cents, paid)
SELECT 1 + n % 200, now() - n * interval '7 minutes', 500 + (n * 37) % 20000, n % 9 <> 0
  FROM generate_series(1, 5000) AS n;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'orders_reader') THEN
        CREATE ROLE orders_reader NOLOGIN;
        CREATE ROLE orders_writer NOLOGIN;
    END IF;
END $$;
GRANT USAGE ON SCHEMA shop TO orders_reader, orders_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO orders_reader, orders_writer;
GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shop TO orders_writer;
