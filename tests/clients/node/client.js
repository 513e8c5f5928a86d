// The steps of ../steps.py with node-postgres; notes go to standard output, one JSON object a line.
// Arguments: host, port, busy and quiet database, id of the rival, columns to read of a model, a test result and a
// comparison, then the statements that are refused. The password is in PGPASSWORD.

'use strict'

const { Client } = require('pg')

const [host, port, busy, quiet, rival, modelColumns, testColumns, comparisonColumns, ...refused] =
  process.argv.slice(2)
const START = new Date('2024-01-01T00:00:00Z')
const END = new Date('2024-03-01T00:00:00Z')
const LATER = new Date('2024-04-01T00:00:00Z')
const DESCRIPTION = "größer als 'alles' \\ 🚀"
const TRAIN = `
  INSERT INTO ml_jobs (
    job_type, priority, train_target_var, train_operator, train_value, train_start, train_end,
    train_features_csv, train_model_type, train_description
  ) VALUES (
    'TRAIN', $1, 'market_cap_close', '>', $2, $3, $4, 'price_open,volume_sol', 'logistic_regression', $5
  ) RETURNING id`
const TEST = `
  INSERT INTO ml_jobs (job_type, status, test_model_id, test_start, test_end)
  VALUES ('TEST', 'PENDING', $1, $2, $3) RETURNING id`
const COMPARE = `
  INSERT INTO ml_jobs (job_type, compare_model_a_id, compare_model_b_id, compare_start, compare_end)
  VALUES ('COMPARE', $1, $2, $3, $4) RETURNING id`
const PLAIN = [5, 1, START, END, null]

function note (field, value) {
  console.log(JSON.stringify({ [field]: value }))
}

async function connect (database) {
  const client = new Client({ host, port: Number(port), database, user: 'anna' })
  await client.connect()
  client.heard = new Set()
  client.on('notification', ({ payload }) => {
    note('heard', [payload])
    client.heard.add(payload)
    client.emit('heard')
  })
  await client.query('LISTEN ml_job_status')
  return client
}

// The first column of the first row; bigint comes as text.
async function value (client, text, values) {
  const { rows } = await client.query({ text, values, rowMode: 'array' })
  return rows[0][0]
}

async function hear (client, payload) {
  while (!client.heard.has(payload)) {
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`waited in vain for ${payload}`)), 180000)
      client.once('heard', () => { clearTimeout(timer); resolve() })
    })
  }
}

async function finish (client, type, result, text, values) {
  const id = await value(client, text, values)
  note('jobs', { [type]: Number(id) })
  await hear(client, `${id} COMPLETED`)
  const { rows: [job] } = await client.query('SELECT * FROM ml_jobs WHERE id = $1', [id])
  note('statuses', { [type]: job.status })
  return job[result]
}

async function read (client, type, columns, table, id) {
  const { rows: [row] } = await client.query(`SELECT ${columns} FROM ${table} WHERE id = $1`, [id])
  note('rows', { [type]: row })
}

async function work () {
  const anna = await connect(busy)
  const model = await finish(anna, 'TRAIN', 'result_model_id', TRAIN, [5, 50000, START, END, 'with node'])
  await read(anna, 'TRAIN', modelColumns, 'ml_models', model)
  const test = await finish(anna, 'TEST', 'result_test_id', TEST, [model, END, LATER])
  await read(anna, 'TEST', testColumns, 'ml_test_results', test)
  const pair = [model, rival, END, LATER]
  const comparison = await finish(anna, 'COMPARE', 'result_comparison_id', COMPARE, pair)
  await read(anna, 'COMPARE', comparisonColumns, 'ml_comparisons', comparison)
  await anna.end()
}

async function ask () {
  const anna = await connect(quiet)
  const casts = (...types) => types.reduce((text, type, i) => text.replace(`$${i + 1},`, `$${i + 1}::${type},`), TRAIN)
  await anna.query("SET TimeZone = 'Europe/Berlin'")
  for (const [types, text, values] of [
    ['unknown', TRAIN, [3, 50000.5, START, END]],
    ['unknown texts', TRAIN, ['3', '50000.5', START.toISOString(), END.toISOString()]],
    ['unknown texts without zone', TRAIN, ['3', '50000.5', '2024-01-01', '2024-03-01']],
    ['int8, float8, timestamp without zone', casts('int8', 'float8', 'timestamp', 'timestamp'),
      [3, 50000.5, '2024-01-01', '2024-03-01']],
    ['text', casts('text::int', 'text::numeric', 'text::timestamptz', 'text::timestamptz'),
      [3, 50000.5, START.toISOString(), END.toISOString()]]
  ]) {
    note('bound', { [types]: Number(await value(anna, text, [...values, DESCRIPTION])) })
  }
  const named = { name: 'train', text: TRAIN, values: [3, 50000.5, START, END, DESCRIPTION] }
  await anna.query(named)
  note('bound', { prepared: Number((await anna.query(named)).rows[0].id) })

  for (const [how, text] of [
    ['UPDATE', "UPDATE ml_jobs SET status = 'CANCELLED' WHERE id = $1"],
    ['CALL', 'CALL ml.cancel_job($1)']
  ]) {
    const id = await value(anna, TRAIN, PLAIN)
    note('cancelled', { [how]: Number(id) })
    await anna.query(text, [id])
    await hear(anna, `${id} CANCELLED`)
  }

  await anna.query("NOTIFY ml_jobs, 'before'")
  await anna.query('BEGIN')
  note('transactions', { rolled_back: Number(await value(anna, TRAIN, PLAIN)) })
  await anna.query('ROLLBACK')
  await anna.query("NOTIFY ml_jobs, 'rolled back'")
  await anna.query('BEGIN')
  note('transactions', { committed: Number(await value(anna, TRAIN, PLAIN)) })
  await anna.query('COMMIT')
  await anna.query("NOTIFY ml_jobs, 'committed'")

  for (const statement of refused) {
    try {
      await anna.query(statement)
    } catch (error) {
      note('refused', [[error.code, error.message, error.hint]])
    }
  }
  await anna.end()
}

work().then(ask).catch(error => {
  console.error(error)
  process.exitCode = 1
})
