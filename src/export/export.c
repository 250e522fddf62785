/* export.c - which form, and for files: written beside, compared, renamed. */
#include "export/inside.h"
#include "run/run.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *silr_export_name(silr_export_form form)
{
    static const char *const names[SILR_EXPORT_FORMS] = {"peft", "merged", "labelstudio", "cleanlab", "csv", "jsonl"};

    return form < SILR_EXPORT_FORMS ? names[form] : NULL;
}

static silr_status export_rows(const char *run, const silr_export_opts *o, const silr_session *s,
                               silr_export_outcome *out, silr_error *err)
{
    silr_run_labels l = {0};
    silr_buf part = {0};
    silr_status st = silr_run_labels_read(&l, run, s->task, s->corpus, o->limit, err);

    silr_buf_printf(&part, "%s.part", o->place);
    if (st == SILR_OK && part.failed)
        st = silr_fail_memory(err);
    if (st == SILR_OK && (st = silr_rows_write(&l, o->form, part.data, err)) == SILR_OK &&
        (st = silr_rows_compare(&l, o->form, part.data, err)) == SILR_OK && rename(part.data, o->place) != 0)
        st = silr_fail(err, SILR_EIO, "%s: cannot be written: %s", o->place, strerror(errno));
    for (size_t i = 0; i < l.n; i++)
        out->left_out += silr_rows_leave_out(&l, o->form, i);
    out->rows = l.n - out->left_out;
    if (st != SILR_OK && part.data)
        unlink(part.data);
    silr_run_labels_clear(&l);
    silr_buf_clear(&part);
    return st;
}

silr_status silr_export(const char *run, const silr_export_opts *o, silr_export_outcome *out, silr_error *err)
{
    silr_task *task = NULL;
    silr_session s = {0};
    silr_status st;

    *out = (silr_export_outcome){.difference = NAN};
    if ((st = silr_session_reopen(&s, &task, run, err)) != SILR_OK)
        return st;
    st = o->form <= SILR_EXPORT_MERGED ? silr_export_model(run, o, s.corpus, out, err)
                                       : export_rows(run, o, &s, out, err);
    silr_session_close(&s);
    silr_task_free(task);
    return st;
}
