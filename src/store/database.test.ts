import assert from 'node:assert/strict';
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { DatabaseError, openDatabase } from './database.ts';

function root() {
  return mkdtempDisposableSync(join(tmpdir(), 'outcrop-database-'));
}

test('migration steps run once each, by room', () => {
  using directory = root();
  {
    using database = openDatabase(directory.path);
    database.migrate('a', ['CREATE TABLE a (x INTEGER)']);
    database.migrate('b', ['CREATE TABLE b (x INTEGER)']);
    database.sql.exec('INSERT INTO a VALUES (1)');
  }
  using database = openDatabase(directory.path);
  database.migrate('a', ['CREATE TABLE a (x INTEGER)', 'ALTER TABLE a ADD COLUMN y INTEGER DEFAULT 7']);
  database.migrate('a', ['CREATE TABLE a (x INTEGER)', 'ALTER TABLE a ADD COLUMN y INTEGER DEFAULT 7']);
  assert.deepEqual({ ...database.sql.prepare('SELECT * FROM a').get() }, { x: 1, y: 7 });
  assert.throws(() => database.migrate('a', []), DatabaseError);
});

test('a failing step leaves nothing behind', () => {
  using directory = root();
  using database = openDatabase(directory.path);
  assert.throws(() => database.migrate('a', ['CREATE TABLE a (x INTEGER)', 'nonsense']));
  assert.equal(database.sql.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'a'").get()?.['n'], 0);
  database.migrate('a', ['CREATE TABLE a (x INTEGER)']);
});

test('a transaction is all or nothing, also when nested', () => {
  using directory = root();
  using database = openDatabase(directory.path);
  database.migrate('a', ['CREATE TABLE a (x INTEGER)']);
  const insert = database.sql.prepare('INSERT INTO a VALUES (?)');
  assert.throws(() =>
    database.transaction(() => {
      insert.run(1);
      database.transaction(() => insert.run(2));
      throw new Error('no');
    }),
  );
  assert.equal(
    database.transaction(() => insert.run(3).changes),
    1,
  );
  assert.deepEqual(
    database.sql
      .prepare('SELECT x FROM a')
      .all()
      .map(row => row['x']),
    [3],
  );
});

test('two openers see each other', () => {
  using directory = root();
  using one = openDatabase(directory.path);
  using two = openDatabase(directory.path);
  one.migrate('a', ['CREATE TABLE a (x INTEGER)']);
  two.migrate('a', ['CREATE TABLE a (x INTEGER)']);
  one.sql.exec('INSERT INTO a VALUES (5)');
  assert.equal(two.sql.prepare('SELECT x FROM a').get()?.['x'], 5);
});

test('a root that cannot be made is said by path', () => {
  using directory = root();
  using _held = openDatabase(directory.path);
  assert.throws(() => openDatabase(join(directory.path, 'outcrop.db')), DatabaseError);
});
