/* folder.c - a model into a folder that has its name only when all of it is there and was read back.
 *
 * It is made as PLACE.part and renamed; what a killed export left there is cleared away by the next. */
#include "classify/share.h"
#include "export/inside.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Scores that are further apart are another classifier's. Merging adds W + scale B A in another order;
 * 16 bits round the weights themselves, which is told and not judged. */
static const double SAME_ADAPTER = 1e-6, SAME_MERGED = 1e-4;

/* --- folders ------------------------------------------------------------------------------------- */

/* Removes the folder with its files, without memory of ours; what is not there is fine. */
static void drop(const char *folder)
{
    DIR *d = opendir(folder);
    const struct dirent *e;

    while (d && (e = readdir(d)))
        unlinkat(dirfd(d), e->d_name, 0); /* "." and ".." are folders: refused */
    if (d)
        closedir(d);
    rmdir(folder);
}

static silr_status check_empty(const char *folder, silr_error *err)
{
    DIR *d = opendir(folder);
    const struct dirent *e;
    bool empty = true;

    if (!d && errno == ENOENT)
        return SILR_OK;
    if (!d)
        return silr_fail(err, SILR_EINPUT, "%s: cannot be made a folder: %s", folder, strerror(errno));
    while ((e = readdir(d)))
        empty = empty && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0);
    closedir(d);
    return empty ? SILR_OK
                 : silr_fail(err, SILR_EINPUT, "%s: is there already and not empty: name another folder, or "
                             "remove it first", folder);
}

/* The place without slashes at its end, and with ".part" behind. */
static bool names_of(char **folder, char **part, const char *place)
{
    size_t len = strlen(place);
    silr_buf b = {0};

    while (len > 1 && place[len - 1] == '/')
        len--;
    *folder = silr_strndup(place, len);
    silr_buf_add(&b, place, len);
    silr_buf_puts(&b, ".part");
    *part = silr_buf_take(&b);
    return *folder && *part;
}

/* --- texts to compare by ------------------------------------------------------------------------- */

typedef struct {
    const char *text[SILR_EXPORT_COMPARED];
    size_t len[SILR_EXPORT_COMPARED], n;
} sample;

/* So many texts, from all over the corpus. */
static void draw(sample *s, const silr_corpus *c)
{
    const size_t all = silr_corpus_size(c);
    const size_t want = all < SILR_EXPORT_COMPARED ? all : SILR_EXPORT_COMPARED;

    for (size_t i = 0; i < want; i++) {
        const size_t at = i * (all / want) + i * (all % want) / want;
        if (silr_corpus_empty(c, at))
            continue;
        s->text[s->n] = silr_corpus_text(c, at, &s->len[s->n]);
        s->n++;
    }
}

static silr_status judge(const silr_export_opts *o, const silr_export_outcome *out, silr_error *err)
{
    const double most = o->form == SILR_EXPORT_PEFT ? SAME_ADAPTER : SAME_MERGED;

    if (out->compared == 0 || (o->form == SILR_EXPORT_MERGED && o->type != SILR_TYPE_F32) || out->difference <= most)
        return SILR_OK;
    return silr_fail(err, SILR_EBUG, "%s: read back, its scores of %zu texts differ by up to %.3g from the run's "
                     "classifier, where %.0e was expected; nothing was exported", o->place, out->compared,
                     out->difference, most);
}

/* --- the door ------------------------------------------------------------------------------------ */

static silr_status make(const char *run, const silr_export_opts *o, const silr_corpus *corpus, const char *part,
                        silr_export_outcome *out, silr_error *err)
{
    const silr_share_opts how = {.form = o->form == SILR_EXPORT_PEFT ? SILR_SHARE_ADAPTER : SILR_SHARE_MERGED,
                                 .base_name = o->base_name, .type = o->type};
    const silr_model_opts where = {.encoder = o->base};
    silr_model *m = NULL;
    silr_shared shared;
    sample s = {0};
    silr_status st;

    draw(&s, corpus);
    silr_progress("loading the model", 0, 0);
    if ((st = silr_model_open(&m, run, &where, err)) == SILR_OK)
        st = silr_model_share(m, &how, part, s.text, s.len, s.n, &shared, err);
    if (st == SILR_OK) {
        out->compared = s.n;
        out->difference = shared.difference;
        out->no_tokenizer = shared.no_tokenizer;
        out->foreign_base = shared.foreign_base;
    }
    silr_model_free(m);
    return st;
}

silr_status silr_export_model(const char *run, const silr_export_opts *o, const silr_corpus *corpus,
                              silr_export_outcome *out, silr_error *err)
{
    char *folder, *part, *above = NULL;
    silr_status st = names_of(&folder, &part, o->place) && (above = silr_path_dir(folder)) ? SILR_OK : silr_fail_memory(err);

    if (st != SILR_OK || (st = check_empty(folder, err)) != SILR_OK || (st = silr_mkdirs(above, err)) != SILR_OK)
        goto done;
    drop(part);
    if ((st = make(run, o, corpus, part, out, err)) == SILR_OK && (st = judge(o, out, err)) == SILR_OK &&
        rename(part, folder) != 0)
        st = silr_fail(err, SILR_EIO, "%s: cannot get its name: %s", folder, strerror(errno));
    if (st != SILR_OK)
        drop(part);
done:
    silr_free(folder);
    silr_free(part);
    silr_free(above);
    return st;
}
