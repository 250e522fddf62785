/* facts.c - what docs/reference.md quotes from the program: `facts knobs`, `facts schema`.
 *
 * knobs:   the table of settings as Markdown (silr_task_reference)
 * schema:  the statements that make run.db, read back from one that was just made */
#include "store/store.h"
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int knobs(void)
{
    silr_buf b = {0};
    bool whole;

    silr_task_reference(&b);
    whole = !b.failed && fwrite(b.data, 1, b.len, stdout) == b.len;
    silr_buf_clear(&b);
    return whole ? 0 : 1;
}

/* One statement over several lines, broken behind commas where that can be done. */
static void print_statement(const char *sql)
{
    enum { WIDTH = 96 };
    size_t at = 0;

    while (*sql) {
        size_t part = strcspn(sql, ",");
        part += sql[part] == ',';
        if (part > WIDTH - 4)
            part = strcspn(sql, " ");
        if (at > 0 && at + 1 + part > WIDTH) {
            fputs("\n   ", stdout);
            at = 3;
        }
        at += (size_t)printf("%s%.*s", at > 0 ? " " : "", (int)part, sql);
        sql += part;
        sql += strspn(sql, " ");
    }
    fputs(";\n", stdout);
}

static int print_schema(const char *path)
{
    static const char all[] = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid";
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, all, -1, &q, NULL);
    while (rc == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW)
        print_statement((const char *)sqlite3_column_text(q, 0));
    sqlite3_finalize(q);
    sqlite3_close(db);
    return rc == SQLITE_OK ? 0 : 1;
}

static int schema(void)
{
    static const char yaml[] = "classes: [a, b]\ncorpus: {files: [texts.jsonl], text: text}\n"
                               "labelled: none\nannotator: {kind: column, column: c}\n";
    static const char rows[] = "{\"text\":\"one\",\"c\":\"a\"}\n{\"text\":\"two\",\"c\":\"b\"}\n";
    char dir[] = "/tmp/silr-facts-XXXXXX", path[64];
    silr_error err = {0};
    silr_task *task = NULL;
    silr_corpus *corpus = NULL;
    silr_store *store = NULL;
    int failed = 1;

    if (!mkdtemp(dir) || chdir(dir) != 0)
        return 1;
    snprintf(path, sizeof path, "%s/run.db", dir);
    if (silr_file_write("texts.jsonl", rows, sizeof rows - 1, &err) == SILR_OK &&
        silr_task_parse(&task, yaml, sizeof yaml - 1, "task.yaml", dir, NULL, 0, &err) == SILR_OK &&
        silr_corpus_read(&corpus, task, NULL, NULL, &err) == SILR_OK &&
        silr_store_open(&store, dir, task, corpus, &err) == SILR_OK) {
        silr_store_close(store);
        failed = print_schema(path);
    } else {
        fprintf(stderr, "facts: %s\n", err.text);
    }
    silr_corpus_free(corpus);
    silr_task_free(task);
    for (size_t i = 0; i < 6; i++) {
        static const char *const left[] = {"texts.jsonl", "run.db", "run.db-wal", "run.db-shm",
                                           "run.lock", ".lock"};
        unlink(left[i]);
    }
    rmdir(dir);
    return failed;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "knobs") == 0)
        return knobs();
    if (argc == 2 && strcmp(argv[1], "schema") == 0)
        return schema();
    fputs("usage: facts knobs|schema\n", stderr);
    return 2;
}
