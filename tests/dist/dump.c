/* dump RUN.DB QUERY - prints what a query finds, values as SQL writes them: blobs and floats to the bit. */
#include <sqlite3.h>
#include <stdio.h>

static int fail(sqlite3 *db)
{
    fprintf(stderr, "dump: %s\n", sqlite3_errmsg(db));
    return 1;
}

int main(int argc, char **argv)
{
    sqlite3_stmt *s = NULL;
    sqlite3 *db = NULL;

    if (argc != 3 || sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(db, argv[2], -1, &s, NULL) != SQLITE_OK)
        return fail(db);
    while (sqlite3_step(s) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(s); i++)
            printf("%s%c", (const char *)sqlite3_column_text(s, i), i + 1 < sqlite3_column_count(s) ? ' ' : '\n');
    if (sqlite3_finalize(s) != SQLITE_OK)
        return fail(db);
    return sqlite3_close(db) != SQLITE_OK;
}
