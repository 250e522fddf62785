#include "base/file.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

silr_status silr_file_read(silr_buf *out, const char *path, size_t max_bytes, silr_error *err)
{
    silr_status st = SILR_OK;
    char chunk[1 << 14];
    struct stat info;
    FILE *f = fopen(path, "rb");

    silr_buf_reset(out);
    if (!f || fstat(fileno(f), &info) != 0) {
        st = silr_fail(err, SILR_EINPUT, "%s: %s", path, strerror(errno));
        goto done;
    }
    if (S_ISDIR(info.st_mode)) {
        st = silr_fail(err, SILR_EINPUT, "%s: is a folder, not a file", path);
        goto done;
    }
    for (;;) {
        size_t n = fread(chunk, 1, sizeof chunk, f);
        if (n == 0)
            break;
        if (n > max_bytes - out->len) {
            st = silr_fail(err, SILR_EINPUT, "%s: larger than %zu bytes", path, max_bytes);
            goto done;
        }
        silr_buf_add(out, chunk, n);
    }
    if (ferror(f))
        st = silr_fail(err, SILR_EIO, "%s: %s", path, strerror(errno));
    else if (out->failed)
        st = silr_fail_memory(err);
    else if (!out->data)
        silr_buf_add(out, "", 0); /* an empty file is an empty string */
done:
    if (f)
        fclose(f);
    return st;
}

silr_status silr_out_open(silr_out *o, const char *path, silr_error *err)
{
    silr_buf temp = {0};

    *o = (silr_out){0};
    silr_buf_printf(&temp, "%s.part", path);
    o->path = silr_strdup(path);
    o->temp = silr_buf_take(&temp);
    if (!o->path || !o->temp) {
        silr_out_discard(o);
        return silr_fail_memory(err);
    }
    if (!(o->file = fopen(o->temp, "wb"))) {
        silr_fail(err, SILR_EIO, "%s: cannot be written: %s", o->temp, strerror(errno));
        silr_out_discard(o);
        return SILR_EIO;
    }
    return SILR_OK;
}

silr_status silr_out_close(silr_out *o, silr_error *err)
{
    bool bad = fflush(o->file) != 0 || ferror(o->file) || fsync(fileno(o->file)) != 0;
    int why = errno;

    if (fclose(o->file) != 0 && !bad) {
        bad = true;
        why = errno;
    }
    o->file = NULL;
    if (!bad && rename(o->temp, o->path) != 0) {
        bad = true;
        why = errno;
    }
    if (bad)
        silr_fail(err, SILR_EIO, "%s: cannot be written: %s", o->path,
                  why ? strerror(why) : "short write");
    else
        o->temp[0] = '\0';
    silr_out_discard(o);
    return bad ? SILR_EIO : SILR_OK;
}

void silr_out_discard(silr_out *o)
{
    if (o->file)
        fclose(o->file);
    if (o->temp && o->temp[0])
        unlink(o->temp);
    silr_free(o->path);
    silr_free(o->temp);
    *o = (silr_out){0};
}

silr_status silr_file_write(const char *path, const void *bytes, size_t len, silr_error *err)
{
    silr_out o;
    silr_status st = silr_out_open(&o, path, err);
    if (st != SILR_OK)
        return st;
    if (len > 0)
        fwrite(bytes, 1, len, o.file);
    return silr_out_close(&o, err);
}

silr_status silr_mkdirs(const char *path, silr_error *err)
{
    silr_status st = SILR_OK;
    char *copy = silr_strdup(path);
    struct stat info;

    if (!copy)
        return silr_fail_memory(err);
    for (char *p = copy + 1; st == SILR_OK; p++) {
        char c = *p;
        if (c != '/' && c != '\0')
            continue;
        *p = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST)
            st = silr_fail(err, SILR_EIO, "%s: cannot be made: %s", copy, strerror(errno));
        else if (stat(copy, &info) == 0 && !S_ISDIR(info.st_mode))
            st = silr_fail(err, SILR_EIO, "%s: is in the way: not a folder", copy);
        *p = c;
        if (c == '\0')
            break;
    }
    silr_free(copy);
    return st;
}

bool silr_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

char *silr_path_join(const char *dir, const char *name)
{
    silr_buf b = {0};
    if (dir && dir[0] && name[0] != '/') {
        silr_buf_puts(&b, dir);
        if (b.len > 0 && b.data[b.len - 1] != '/')
            silr_buf_putc(&b, '/');
    }
    silr_buf_puts(&b, name);
    return silr_buf_take(&b);
}

char *silr_path_dir(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return silr_strdup(".");
    return silr_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}
