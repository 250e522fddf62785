/* base.h - the door of src/base: what every other module stands on. */
#ifndef SILR_BASE_H
#define SILR_BASE_H

#include "base/buf.h"
#include "base/commit.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/rng.h"
#include "base/status.h"

#endif
