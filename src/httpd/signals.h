/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

/* Moments at which no signal may end this process. */

#ifndef MTLS_HTTPD_SIGNALS_H
#define MTLS_HTTPD_SIGNALS_H

#include <signal.h>

/* The MPM may leave a child from inside its handler of SIGTERM, and destroys our pools there: what
 * must not be left half done holds signals back. They come when it is done. Those that tell of a
 * fault are never held back: the fault would end the process without a word. 0: it was not
 * possible; then there is nothing to release. */
int mtls_signals_hold(sigset_t *before);
void mtls_signals_release(const sigset_t *before);

#endif
