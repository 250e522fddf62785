/* schema.c - what stands in run.db, table by table and byte by byte.
 *
 * run.db is an SQLite 3 file in WAL mode: beside it lie run.db-wal (the newest transactions) and
 * run.db-shm while it is open, or after a kill; the next opening folds them in. Copy run.db only
 * when no silr is working on it, or copy all three.
 *
 * Header: application_id 0x53494c52 ("SILR"), user_version = SILR_SCHEMA_VERSION. The schema, the
 * classes and the two digests below appear in one transaction: a run.db either has all of them or
 * is empty and is begun again.
 *
 *   meta         name -> value (BLOB)
 *     task.hash      64 hex digits: the settings that change results
 *     task.json      the task as silr_task_to_json writes it, to say what differs
 *     corpus.digest  64 hex digits: SHA-256 of the corpus
 *     sample         a mark, empty: the sample was drawn (it may have no rows)
 *     final          a mark: the number of classes in decimal: `final` is complete
 *     all others     the caller's: stage marks, the manifest, training state
 *   classes      label (0, 1, ...) -> name
 *   documents    doc: index in corpus order; id; hash: XXH3 of id and text as a signed 64-bit number;
 *                split: 0 train, 1 validation, 2 test
 *   annotations  source: 0 the label in use, else 32 member + round (store.h); doc; request: first 8
 *                bytes of the hash of the whole request (signed; 0: none); label (-1: abstained);
 *                confidence (NULL: none); basis: what that is made of, as silr_basis; votes: bit r:
 *                rule r fired; logp: BLOB of K floats, the classes' log-probabilities; failed: 1: no
 *                answer could be had; raw: the answer as it came; reason: why it abstained or failed
 *   sources      source -> the annotator's name
 *   answers, servers, batches, batch_lines, traffic: what was asked of language models (ledger.c)
 *   sample       doc, truth, weight: the labelled sample
 *   iterations   one row an iteration; losses and interval NULL where there are none; priors: JSON
 *                {"version":1,"K":,"known":,"theta":[K*K],"rho":[K],"pi":[K],"n_eff":[K],"hits":[K],
 *                "theta_low":[K],"theta_high":[K],"pi_low":[K],"pi_high":[K],"p_d_positive":,
 *                "p_d_margin":}, numbers with 17 digits, so that they come back to the bit
 *   labels       one row an iteration for all documents: n; label: BLOB of n signed bytes, -1 none;
 *                score: BLOB of n IEEE 754 floats, little-endian, NaN none. Five bytes a document: a
 *                row a document would take six times that and a second a million at every iteration
 *   epochs       losses by iteration, member (cross-fitting fold) and epoch; best: 1 the one kept
 *   final        the outcome, one row a document, to be queried: label, score (probability of the
 *                label), prob: BLOB of K floats as above
 *   refined      a view for people: id, split, the annotator's label and the refined one by name
 *
 *     sqlite3 run.db "SELECT * FROM refined WHERE changed ORDER BY score DESC LIMIT 20"
 *
 * synchronous=NORMAL: a killed process loses nothing that was committed. A power cut may take the
 * last transactions back, whole ones; the run then repeats them. */
#include "store/internal.h"

enum { APPLICATION_ID = 0x53494c52 };

static const char schema[] =
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE classes(label INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;"
    "CREATE TABLE documents(doc INTEGER PRIMARY KEY, id TEXT NOT NULL, hash INTEGER NOT NULL,"
    " split INTEGER NOT NULL) STRICT;"
    "CREATE TABLE annotations(source INTEGER NOT NULL, doc INTEGER NOT NULL, request INTEGER NOT NULL,"
    " label INTEGER NOT NULL, confidence REAL, basis INTEGER NOT NULL, votes INTEGER NOT NULL,"
    " logp BLOB, failed INTEGER NOT NULL, raw TEXT, reason TEXT, PRIMARY KEY(source, doc))"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE sources(source INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;"
    "CREATE TABLE sample(doc INTEGER PRIMARY KEY, truth INTEGER NOT NULL, weight REAL NOT NULL) STRICT;"
    "CREATE TABLE iterations(iteration INTEGER PRIMARY KEY, priors TEXT NOT NULL, train_loss REAL,"
    " validation_loss REAL, best_epoch INTEGER NOT NULL, accepted INTEGER NOT NULL,"
    " estimated REAL, estimated_low REAL, estimated_high REAL, flips INTEGER NOT NULL,"
    " seconds REAL, note TEXT NOT NULL) STRICT;"
    "CREATE TABLE labels(iteration INTEGER PRIMARY KEY, n INTEGER NOT NULL, label BLOB NOT NULL,"
    " score BLOB NOT NULL) STRICT;"
    "CREATE TABLE epochs(iteration INTEGER, member INTEGER, epoch INTEGER, train_loss REAL,"
    " validation_loss REAL, best INTEGER NOT NULL, PRIMARY KEY(iteration, member, epoch))"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE final(doc INTEGER PRIMARY KEY, label INTEGER NOT NULL, score REAL,"
    " prob BLOB NOT NULL) STRICT;"
    "CREATE VIEW refined AS SELECT d.doc, d.id,"
    " CASE d.split WHEN 0 THEN 'train' WHEN 1 THEN 'validation' ELSE 'test' END AS split,"
    " i.name AS initial_label, c.name AS label, f.score, f.label IS NOT a.label AS changed"
    " FROM documents d LEFT JOIN final f ON f.doc = d.doc LEFT JOIN annotations a ON a.doc = d.doc"
    " AND a.source = 0"
    " LEFT JOIN classes c ON c.label = f.label LEFT JOIN classes i ON i.label = a.label;";

const char *const silr_store_sql[Q_COUNT] = {
    [Q_BEGIN] = "BEGIN IMMEDIATE",
    [Q_COMMIT] = "COMMIT",
    [Q_META_SET] = "INSERT OR REPLACE INTO meta VALUES(?1,?2)",
    [Q_META_GET] = "SELECT value FROM meta WHERE name=?1",
    [Q_META_UNSET] = "DELETE FROM meta WHERE name=?1",
    [Q_CLASS_ADD] = "INSERT INTO classes VALUES(?1,?2)",
    [Q_CLASS_COUNT] = "SELECT count(*) FROM classes",
    [Q_DOCUMENT_ADD] = "INSERT INTO documents VALUES(?1,?2,?3,?4)",
    [Q_DOCUMENT_COUNT] = "SELECT count(*) FROM documents",
    [Q_ANNOTATION_ADD] =
        "INSERT OR REPLACE INTO annotations VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
    [Q_ANNOTATION_ALL] =
        "SELECT doc,label,confidence FROM annotations WHERE source=?1 ORDER BY doc",
    [Q_EVIDENCE_ALL] =
        "SELECT doc,logp FROM annotations WHERE source=?1 AND logp IS NOT NULL ORDER BY doc",
    [Q_SOURCES] =
        ("SELECT a.source, coalesce(s.name,''), count(*), sum(label>=0), sum(label<0 AND NOT failed),"
         " sum(failed<>0), sum(label>=0 AND basis=0), sum(label>=0 AND basis=1),"
         " sum(label>=0 AND basis=2), sum(label>=0 AND basis=3) FROM annotations a"
         " LEFT JOIN sources s ON s.source=a.source GROUP BY a.source ORDER BY a.source"),
    [Q_SOURCE_NAME] = "INSERT OR REPLACE INTO sources VALUES(?1,?2)",
    [Q_REASONS] = ("SELECT a.source,a.doc,d.id,a.raw,a.reason FROM annotations a JOIN documents d"
                   " ON d.doc=a.doc WHERE a.label<0 AND a.failed>=?1 ORDER BY a.source,a.doc"),
    [Q_FORGET_USED] = ("DELETE FROM annotations WHERE source=0 AND doc IN"
                       " (SELECT doc FROM annotations WHERE failed<>0)"),
    [Q_FORGET_FAILED] = "DELETE FROM annotations WHERE failed<>0",
    [Q_FORGET_SOURCE] = "DELETE FROM annotations WHERE source=?1",
    [Q_FORGET_ITERATIONS] = "DELETE FROM iterations",
    [Q_FORGET_LABELS] = "DELETE FROM labels",
    [Q_FORGET_EPOCHS] = "DELETE FROM epochs",
    [Q_FORGET_STATE] = ("DELETE FROM meta WHERE name IN ('sample','final','verdict','sensitivity',"
                        "'stage.done') OR name LIKE 'refine.%'"),
    [Q_SAMPLE_CLEAR] = "DELETE FROM sample",
    [Q_SAMPLE_ADD] = "INSERT INTO sample VALUES(?1,?2,?3)",
    [Q_SAMPLE_ALL] = "SELECT doc,truth,weight FROM sample ORDER BY doc",
    [Q_ITERATION_ADD] =
        "INSERT OR REPLACE INTO iterations VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)",
    [Q_ITERATION_GET] =
        ("SELECT priors,train_loss,validation_loss,best_epoch,accepted,estimated,estimated_low,"
         "estimated_high,flips,seconds,note FROM iterations WHERE iteration=?1"),
    [Q_ITERATION_COUNT] = "SELECT count(*) FROM iterations",
    [Q_LABELS_ADD] = "INSERT OR REPLACE INTO labels VALUES(?1,?2,?3,?4)",
    [Q_LABELS_GET] = "SELECT n,label,score FROM labels WHERE iteration=?1",
    [Q_EPOCH_ADD] = "INSERT OR REPLACE INTO epochs VALUES(?1,?2,?3,?4,?5,?6)",
    [Q_FINAL_CLEAR] = "DELETE FROM final",
    [Q_FINAL_ADD] = "INSERT INTO final VALUES(?1,?2,?3,?4)",
    [Q_FINAL_ALL] = "SELECT doc,label,prob FROM final ORDER BY doc",
};

/* One number that a statement of no further use returns. */
static silr_status ask(silr_store *s, const char *sql, int64_t *out, silr_error *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL);

    if (rc == SQLITE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        *out = sqlite3_column_int64(q, 0);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(q);
    return rc == SQLITE_OK ? SILR_OK : silr_store_fail(s, rc, err);
}

silr_status silr_store_create(silr_store *s, silr_error *err)
{
    char mark[96];
    int rc = sqlite3_exec(s->db, schema, NULL, NULL, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_exec(s->db, silr_ledger_schema, NULL, NULL, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_snprintf(sizeof mark, mark, "PRAGMA application_id=%d;PRAGMA user_version=%d",
                         APPLICATION_ID, SILR_SCHEMA_VERSION);
        rc = sqlite3_exec(s->db, mark, NULL, NULL, NULL);
    }
    return rc == SQLITE_OK ? SILR_OK : silr_store_fail(s, rc, err);
}

silr_status silr_store_look(silr_store *s, bool *empty, silr_error *err)
{
    int64_t tables = 0, id = 0, version = 0;
    silr_status st;

    *empty = false;
    if ((st = ask(s, "SELECT count(*) FROM sqlite_schema", &tables, err)) != SILR_OK ||
        (st = ask(s, "PRAGMA application_id", &id, err)) != SILR_OK ||
        (st = ask(s, "PRAGMA user_version", &version, err)) != SILR_OK)
        return st;
    *empty = tables == 0 && id == 0 && version == 0;
    if (*empty)
        return SILR_OK;
    if (id != APPLICATION_ID)
        return silr_fail(err, SILR_EINPUT,
                         "%s: not a run database: an SQLite file of another program; use another --out",
                         s->path);
    if (version > SILR_SCHEMA_VERSION)
        return silr_fail(err, SILR_EINPUT,
                         "%s: made by a newer silr (schema %lld, this one knows %d); use that silr, "
                         "or another --out",
                         s->path, (long long)version, SILR_SCHEMA_VERSION);
    if (version < 1)
        return silr_store_damaged(s, "its schema has no version", err);
    if (version < SILR_SCHEMA_VERSION)
        return silr_fail(err, SILR_EINPUT,
                         "%s: made by an older silr (schema %lld, this one writes %d); run the task "
                         "again into another --out",
                         s->path, (long long)version, SILR_SCHEMA_VERSION);
    return SILR_OK;
}
