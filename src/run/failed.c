/* failed.c - rows that could not be read are kept, with the reason, for failed.jsonl.
 *
 * A corpus of a million lines has a few bad ones. They must neither stop the work nor vanish. They
 * are gathered while the corpus is read and written once the folder is known to be this run's. */
#include "run/internal.h"
#include <string.h>
#include <unistd.h>

silr_status silr_failed_row(void *ctx, const char *file, uint64_t line, const char *why,
                            silr_error *err)
{
    failed_rows *f = ctx;

    f->rows++;
    if (f->rows <= 3)
        silr_log(SILR_LOG_WARN, "%s:%llu: %s", file, (unsigned long long)line, why);
    else if (f->rows == 4)
        silr_log(SILR_LOG_WARN, "more rows cannot be read; see failed.jsonl");
    silr_buf_puts(&f->lines, "{\"file\":");
    silr_buf_json(&f->lines, file, strlen(file));
    silr_buf_printf(&f->lines, ",\"line\":%llu,\"reason\":", (unsigned long long)line);
    silr_buf_json(&f->lines, why, strlen(why));
    silr_buf_puts(&f->lines, "}\n");
    return f->lines.failed ? silr_fail_memory(err) : SILR_OK;
}

silr_status silr_failed_write(const failed_rows *f, const char *dir, silr_error *err)
{
    silr_status st = SILR_OK;
    char *path = silr_path_join(dir, "failed.jsonl");

    if (!path)
        return silr_fail_memory(err);
    if (f->rows > 0)
        st = silr_file_write(path, f->lines.data, f->lines.len, err);
    else
        unlink(path); /* of an earlier reading; usually there is none */
    silr_free(path);
    return st;
}
