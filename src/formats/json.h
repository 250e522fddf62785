/* json.h - JSON from strangers, bounded; for formats/ only. */
#ifndef SILR_FORMATS_JSON_H
#define SILR_FORMATS_JSON_H

#include "base/base.h"

#include <jansson.h>

/* One object, nested no deeper than models' files are, no key twice. SILR_EINPUT: path names it. */
silr_status silr_json_object(json_t **out, const char *bytes, size_t len, const char *path,
                             silr_error *err);
/* The same for `any` value, from a file of at most max bytes. */
silr_status silr_json_read(json_t **out, const char *path, size_t max, silr_error *err);

/* Is name a plain file's or folder's, so that dir/name lies in dir? */
bool silr_json_plain_name(const char *name);

#endif
