// drizzle and sequelize with every column of ml_jobs and ml_models: node orms.js HOST PORT DATABASE MODEL_ID
// Each inserts a job, reads it, saves all of it with another priority, and saves all of a model with another name.
// Prints a line of JSON: id of the job by ORM.

const pg = require('pg');
const { drizzle } = require('drizzle-orm/node-postgres');
const { eq } = require('drizzle-orm');
const core = require('drizzle-orm/pg-core');
const { DataTypes, Sequelize } = require('sequelize');

const [host, port, database, modelId] = process.argv.slice(2);
const login = { host, port: Number(port), database, user: 'anna', password: process.env.PGPASSWORD };
const TRAIN = {
  job_type: 'TRAIN', train_target_var: 'market_cap_close', train_operator: '>', train_value: '50000.5',
  train_start: new Date('2024-01-01T00:00:00Z'), train_end: new Date('2024-03-01T00:00:00Z'),
  train_features_csv: 'price_open,volume_sol', train_model_type: 'xgboost',
};
const QUERY = `SELECT column_name AS name, data_type AS type FROM information_schema.columns
  WHERE table_name = $1 ORDER BY ordinal_position`;

async function columnsOf(pool, table) {
  return (await pool.query(QUERY, [table])).rows;
}

function drizzleTable(name, columns) {
  const make = {
    bigint: (c) => core.bigint(c, { mode: 'number' }),
    integer: core.integer,
    numeric: core.numeric,
    boolean: core.boolean,
    'timestamp with time zone': (c) => core.timestamp(c, { withTimezone: true }),
  };
  return core.pgTable(name, Object.fromEntries(columns.map((c) => [c.name,
    c.name === 'id' ? core.bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity()
      : (make[c.type] || core.text)(c.name)])));
}

function sequelizeModel(sequelize, name, columns) {
  const types = {
    bigint: DataTypes.BIGINT, integer: DataTypes.INTEGER, numeric: DataTypes.DECIMAL, boolean: DataTypes.BOOLEAN,
    'timestamp with time zone': DataTypes.DATE,
  };
  return sequelize.define(name, Object.fromEntries(columns.map((c) => [c.name, {
    type: types[c.type] || DataTypes.TEXT, primaryKey: c.name === 'id', autoIncrement: c.name === 'id',
  }])), { tableName: name, timestamps: false });
}

async function byDrizzle(pool, jobColumns, modelColumns) {
  const db = drizzle(pool);
  const jobs = drizzleTable('ml_jobs', jobColumns);
  const models = drizzleTable('ml_models', modelColumns);
  const [inserted] = await db.insert(jobs).values(TRAIN).returning();
  const [{ id, ...job }] = await db.select().from(jobs).where(eq(jobs.id, inserted.id));
  await db.update(jobs).set({ ...job, priority: 2 }).where(eq(jobs.id, id));
  const [{ id: own, ...model }] = await db.select().from(models).where(eq(models.id, Number(modelId)));
  await db.update(models).set({ ...model, name: 'by drizzle' }).where(eq(models.id, own));
  return id;
}

async function bySequelize(jobColumns, modelColumns) {
  const sequelize = new Sequelize(database, login.user, login.password, {
    host, port: login.port, dialect: 'postgres', logging: false,
  });
  const jobs = sequelizeModel(sequelize, 'ml_jobs', jobColumns);
  const models = sequelizeModel(sequelize, 'ml_models', modelColumns);
  const { id } = await jobs.create(TRAIN);
  const job = await jobs.findByPk(id);
  job.priority = 2;
  const all = (columns) => columns.map((c) => c.name).filter((name) => name !== 'id');
  for (const name of all(jobColumns)) job.changed(name, true);
  await job.save({ fields: all(jobColumns) });
  const model = await models.findByPk(modelId);
  model.description = 'by sequelize';
  for (const name of all(modelColumns)) model.changed(name, true);
  await model.save({ fields: all(modelColumns) });
  await sequelize.close();
  return Number(id);
}

async function main() {
  const pool = new pg.Pool(login);
  const [jobColumns, modelColumns] = [await columnsOf(pool, 'ml_jobs'), await columnsOf(pool, 'ml_models')];
  const ids = { drizzle: await byDrizzle(pool, jobColumns, modelColumns), sequelize: await bySequelize(jobColumns, modelColumns) };
  await pool.end();
  console.log(JSON.stringify(ids));
}

main();
