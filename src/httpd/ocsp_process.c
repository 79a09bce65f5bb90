/* SPDX-License-Identifier: Apache-2.0
 * Copyright The mod_mtls_policy authors */

#include "httpd/ocsp_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_shm.h>
#include <apr_signal.h>
#include <ap_listen.h>
#include <ap_mpm.h>
#include <http_config.h>
#include <http_log.h>
#include <mpm_common.h>
#include <unixd.h>

#include "httpd/cache.h"
#include "httpd/ocsp_directives.h"
#include "httpd/reload.h"
#include "httpd/signals.h"
#include "httpd/site.h"
#include "ocsp/lookup.h"
#include "ocsp/queue.h"
#include "policy/limits.h"

APLOG_USE_MODULE(mtls_policy);

#define RETAINED     "mtls_policy_ocsp"
#define REVOCATIONS  "mtls_policy_revoked"
#define SOCKET_BYTES (1024 * 1024)
/* Asks taken at a time before answers are worked on. */
#define ASKS_AT_A_TIME 64
/* A process that lived for less is not started again at once. */
#define SHORT_LIFE apr_time_from_sec(1)

/* Both ends outlive restarts, so that children of the run before go on asking. */
typedef struct sockets_t {
    int made;
    int ask; /* the children's end */
    int take;
    unsigned char who[MTLS_OCSP_CLAIMANT_BYTES]; /* this server, to others who share its cache */
} sockets_t;

/* What the process tells the children. */
typedef struct board_t {
    apr_uint32_t revision; /* grows when a status is no longer what it was */
    apr_time_t recheck_from;
    apr_uint64_t proofs[]; /* what they have proved */
} board_t;

static struct {
    sockets_t *sockets;
    board_t *board;
    apr_pool_t *pconf;
    server_rec *server;
    const char *revocations; /* NULL: nowhere */
    apr_proc_t proc;
    pid_t parent;
    apr_time_t started;
} ocsp;

/* ---- the children's side ---- */

apr_time_t mtls_ocsp_process_recheck_from(void)
{
    return ocsp.board ? __atomic_load_n(&ocsp.board->recheck_from, __ATOMIC_ACQUIRE) : 0;
}

const char *mtls_ocsp_process_revocations(void)
{
    return ocsp.revocations;
}

void *mtls_ocsp_process_proofs(void)
{
    return ocsp.board ? ocsp.board->proofs : NULL;
}

void mtls_ocsp_process_child(void)
{
    if (ocsp.board && ocsp.parent != getpid()) /* with -X there is only one */
        close(ocsp.sockets->take);
}

static void attach(struct msghdr *message, int fd)
{
    struct cmsghdr *control = CMSG_FIRSTHDR(message);

    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(control), &fd, sizeof(int));
}

int mtls_ocsp_process_send(mtls_span_t ask, int fd, int milliseconds)
{
    struct pollfd room = {.fd = ocsp.sockets ? ocsp.sockets->ask : -1, .events = POLLOUT};
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec bytes = {(void *)(apr_uintptr_t)ask.data, ask.len};
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};

    if (room.fd < 0 || ask.len == 0)
        return 0;
    if (fd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        attach(&message, fd);
    }
    for (;;) {
        if (sendmsg(room.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            return 1;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN || milliseconds <= 0 || poll(&room, 1, milliseconds) != 1)
            return 0;
        milliseconds = 0; /* there was room, and somebody else may have taken it */
    }
}

/* ---- the process ---- */

typedef struct waiter_t {
    int fd;
    struct waiter_t *next, **self;
} waiter_t;

typedef struct process_t {
    apr_pool_t *p;
    mtls_queue_t *queue;
    mtls_fetcher_t *fetcher;
    mtls_folder_t *folder;
    apr_time_t look_at; /* into the folder */
    waiter_t *waiters;
    int waiting, most_waiting;
} process_t;

static void forget_waiter(process_t *process, waiter_t *waiter)
{
    *waiter->self = waiter->next;
    if (waiter->next)
        waiter->next->self = waiter->self;
    process->waiting--;
    close(waiter->fd);
    free(waiter);
}

static waiter_t *add_waiter(process_t *process, int fd)
{
    waiter_t *waiter = calloc(1, sizeof(*waiter));

    if (!waiter)
        return NULL;
    waiter->fd = fd;
    waiter->next = process->waiters;
    waiter->self = &process->waiters;
    if (waiter->next)
        waiter->next->self = &waiter->next;
    process->waiters = waiter;
    process->waiting++;
    return waiter;
}

/* Who has gone makes room. */
static void sweep(process_t *process)
{
    waiter_t *waiter, *next;

    for (waiter = process->waiters; waiter; waiter = next) {
        struct pollfd gone = {.fd = waiter->fd, .events = 0};
        next = waiter->next;
        if (poll(&gone, 1, 0) == 1 && (gone.revents & (POLLHUP | POLLERR))) {
            mtls_queue_forget(process->queue, waiter);
            forget_waiter(process, waiter);
        }
    }
}

static void send_answer(int fd, const mtls_answer_t *answer)
{
    apr_pool_t *p;
    mtls_span_t bytes;

    if (apr_pool_create(&p, NULL) != APR_SUCCESS)
        return;
    bytes = mtls_answer_encode(p, answer);
    /* Whoever does not read it has given up. */
    if (bytes.len && send(fd, bytes.data, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        ap_log_error(APLOG_MARK, APLOG_DEBUG, errno, ocsp.server,
                     "mtls_policy: an answer about a status was not sent");
    apr_pool_destroy(p);
}

static void answer(void *process, void *waiter_, const mtls_answer_t *what)
{
    waiter_t *waiter = waiter_;

    send_answer(waiter->fd, what);
    forget_waiter(process, waiter);
}

static void log_text(void *process, int level, const char *text)
{
    (void)process;
    ap_log_error(APLOG_MARK, level, 0, ocsp.server, "mtls_policy: OCSP: %s", text);
}

static void status_changed(void *process)
{
    (void)process;
    __atomic_fetch_add(&ocsp.board->revision, 1, __ATOMIC_RELEASE);
}

static void tell_of_file(void *process, const char *file, const char *error)
{
    (void)process;
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, ocsp.server,
                 "mtls_policy: MTLSOCSPResponses: %s: %s", file, error);
}

/* A message may carry the waiter's end of a socket. -1: none. */
static int attached(struct msghdr *message)
{
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    int fd = -1;

    if (control && control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_RIGHTS &&
        control->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(&fd, CMSG_DATA(control), sizeof(int));
    return fd;
}

static void take(process_t *process, mtls_span_t bytes, int fd)
{
    static const mtls_answer_t busy = {.kind = MTLS_ANSWER_BUSY};
    waiter_t *waiter = NULL;
    mtls_ask_t ask;
    apr_pool_t *p;

    if (apr_pool_create(&p, process->p) != APR_SUCCESS)
        p = NULL;
    if (process->waiting >= process->most_waiting)
        sweep(process);
    if (!p || !mtls_ask_decode(p, bytes, &ask)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, ocsp.server,
                     "mtls_policy: OCSP: an ask of %" APR_SIZE_T_FMT " bytes makes no sense",
                     bytes.len);
    } else if (fd < 0) {
        ask.wait = 0;
        mtls_queue_ask(process->queue, &ask, NULL);
    } else if (process->waiting >= process->most_waiting ||
               (waiter = add_waiter(process, fd)) == NULL) {
        send_answer(fd, &busy);
    } else {
        fd = -1;
        ask.wait = 1;
        mtls_queue_ask(process->queue, &ask, waiter);
    }
    if (fd >= 0)
        close(fd);
    if (p)
        apr_pool_destroy(p);
}

/* 0: nobody is left who could ask. */
static int take_asks(process_t *process)
{
    static char buffer[MTLS_ASK_MAX_BYTES];
    char control[CMSG_SPACE(sizeof(int))];
    int i;

    for (i = 0; i < ASKS_AT_A_TIME; i++) {
        struct iovec bytes = {buffer, sizeof(buffer)};
        struct msghdr message = {.msg_iov = &bytes,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof(control)};
        ssize_t n = recvmsg(ocsp.sockets->take, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

        if (n == 0)
            return 0;
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        take(process, mtls_span(buffer, (apr_size_t)n), attached(&message));
    }
    return 1;
}

static apr_interval_time_t look_into_folder(process_t *process)
{
    apr_time_t now = apr_time_now();
    apr_interval_time_t every = apr_time_from_msec(500);

    if (!process->folder)
        return apr_time_from_sec(60);
    if (now < process->look_at && process->look_at - now <= every)
        return process->look_at - now;
    if (mtls_folder_look(process->folder, now)) {
        __atomic_store_n(&ocsp.board->recheck_from, apr_time_now(), __ATOMIC_RELEASE);
        status_changed(process);
    }
    process->look_at = now + every;
    return every;
}

static void serve(process_t *process)
{
    for (;;) {
        apr_interval_time_t due = mtls_queue_run(process->queue);
        apr_interval_time_t look = look_into_folder(process);

        if (mtls_fetcher_run(process->fetcher, ocsp.sockets->take, due < look ? due : look) &&
            !take_asks(process))
            return;
    }
}

/* A quarter of all workers; each child knows the quarter of its own. */
static int most_waiting(void)
{
    int daemons = 1, threads = 1, most;

    ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &daemons);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    most = daemons * (threads > 0 ? threads : 1) / 4;
    if (most > MTLS_MAX_OCSP_WAITERS)
        most = MTLS_MAX_OCSP_WAITERS;
    return most > 0 ? most : 1;
}

static apr_array_header_t *listeners(apr_pool_t *p)
{
    apr_array_header_t *addresses = apr_array_make(p, 4, sizeof(apr_sockaddr_t *));
    const ap_listen_rec *lr;

    for (lr = ap_listeners; lr; lr = lr->next)
        APR_ARRAY_PUSH(addresses, apr_sockaddr_t *) = lr->bind_addr;
    return addresses;
}

static int prepare(process_t *process)
{
    const mtls_site_ocsp_t *site = &mtls_site()->ocsp;
    mtls_fetch_rules_t *rules = apr_pcalloc(process->p, sizeof(*rules));
    mtls_queue_env_t *env = apr_pcalloc(process->p, sizeof(*env));

    rules->allow = site->allow;
    rules->listeners = listeners(process->p);
    rules->proxy = site->proxy;
    process->fetcher = mtls_fetcher_make(process->p, rules);
    if (site->responses)
        process->folder = mtls_folder_make(process->p, site->responses, tell_of_file, process);
    look_into_folder(process);
    env->store = mtls_cache();
    env->fetcher = process->fetcher;
    env->folder = process->folder;
    env->rules = rules;
    env->who = ocsp.sockets->who;
    env->proofs = ocsp.board->proofs;
    env->revocations = ocsp.revocations;
    env->now = apr_time_now;
    env->baton = process;
    env->log = log_text;
    env->answer = answer;
    env->changed = status_changed;
    process->queue = mtls_queue_make(process->p, env);
    process->most_waiting = most_waiting();
    return process->fetcher && process->queue;
}

static void reset_signals(void)
{
    static const int ignored[] = {SIGHUP, SIGUSR1, SIGWINCH, SIGPIPE};
    static const int fatal[] = {SIGTERM, SIGINT, SIGCHLD};
    apr_size_t i;

    for (i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        apr_signal(ignored[i], SIG_IGN);
    for (i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
        apr_signal(fatal[i], SIG_DFL);
}

static void run_process(void)
{
    process_t process = {.p = NULL};

    ap_close_listeners();
    close(ocsp.sockets->ask); /* else it would never see the end of those who ask */
    if (ap_run_drop_privileges(ocsp.pconf, ocsp.server) != 0 ||
        apr_pool_create(&process.p, NULL) != APR_SUCCESS)
        _exit(1); /* httpd has logged it */
    mtls_cache_child(process.p, ocsp.server);
    if (!prepare(&process)) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, ocsp.server,
                     "mtls_policy: the process that asks OCSP responders cannot begin");
        _exit(1);
    }
    serve(&process);
    _exit(0); /* what the parent has registered is the parent's to clean up */
}

/* ---- the parent ---- */

static void maintain(int reason, void *proc, int status);

static int fork_process(void)
{
    sigset_t before;
    int held = mtls_signals_hold(&before); /* until what the parent does about them is undone */
    pid_t pid = fork();

    if (pid == 0)
        reset_signals();
    if (held)
        mtls_signals_release(&before);
    if (pid == 0)
        run_process();
    if (pid < 0) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, errno, ocsp.server,
                     "mtls_policy: the process that asks OCSP responders cannot be started");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    memset(&ocsp.proc, 0, sizeof(ocsp.proc));
    ocsp.proc.pid = pid;
    ocsp.started = apr_time_now();
    apr_proc_other_child_register(&ocsp.proc, maintain, &ocsp.proc, NULL, ocsp.pconf);
    return OK;
}

/* It has died; not while the server stops or is restarted. */
static void maintain(int reason, void *proc, int status)
{
    int state = AP_MPMQ_STOPPING;

    if (reason == APR_OC_REASON_UNREGISTER || ocsp.parent != getpid())
        return;
    apr_proc_other_child_unregister(proc);
    if (reason == APR_OC_REASON_RESTART)
        return;
    ocsp.proc.pid = 0;
    if (ap_mpm_query(AP_MPMQ_MPM_STATE, &state) == APR_SUCCESS && state == AP_MPMQ_STOPPING)
        return;
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, ocsp.server,
                 "mtls_policy: the process that asks OCSP responders has died (status %d); "
                 "another one is started",
                 status);
    if (apr_time_now() - ocsp.started < SHORT_LIFE)
        apr_sleep(APR_USEC_PER_SEC / 5); /* the parent has nothing urgent to do */
    fork_process();
}

static apr_status_t stop_process(void *unused)
{
    pid_t pid = ocsp.proc.pid;
    int tries, gone = 0;

    (void)unused;
    if (ocsp.parent != getpid() || pid <= 0)
        return APR_SUCCESS;
    ocsp.proc.pid = 0;
    kill(pid, SIGTERM);
    for (tries = 0; tries < 300 && !gone; tries++) {
        gone = waitpid(pid, NULL, WNOHANG) != 0; /* also where it is gone already */
        if (!gone)
            apr_sleep(apr_time_from_msec(tries < 20 ? 1 : 10));
    }
    if (!gone) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    return APR_SUCCESS;
}

static int make_sockets(void)
{
    int fds[2], size = SOCKET_BYTES;

    ocsp.sockets = ap_retained_data_get(RETAINED);
    if (!ocsp.sockets)
        ocsp.sockets = ap_retained_data_create(RETAINED, sizeof(*ocsp.sockets));
    if (ocsp.sockets->made)
        return 1;
    if (apr_generate_random_bytes(ocsp.sockets->who, sizeof(ocsp.sockets->who)) != APR_SUCCESS ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        return 0;
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); /* as far as it goes */
    ocsp.sockets->ask = fds[0];
    ocsp.sockets->take = fds[1];
    ocsp.sockets->made = 1;
    return 1;
}

static apr_status_t forget_board(void *unused)
{
    (void)unused;
    mtls_reload_share(NULL);
    ocsp.board = NULL;
    return APR_SUCCESS;
}

static apr_status_t make_board(void)
{
    apr_shm_t *shm;
    apr_status_t rv = apr_shm_create(&shm, sizeof(board_t) + mtls_proofs_bytes(), NULL, ocsp.pconf);

    if (rv != APR_SUCCESS)
        return rv;
    ocsp.board = apr_shm_baseaddr_get(shm);
    memset(ocsp.board, 0, sizeof(*ocsp.board));
    if (!mtls_proofs_begin(ocsp.board->proofs)) {
        ocsp.board = NULL;
        return APR_EGENERAL;
    }
    mtls_reload_share(&ocsp.board->revision);
    apr_pool_cleanup_register(ocsp.pconf, NULL, forget_board, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

/* Where proven revocations outlive a restart: a folder of the children's User, and no link that
 * somebody has put there. NULL: logged, and they are only in the cache. */
static const char *make_revocations(void)
{
    const char *path = ap_runtime_dir_relative(ocsp.pconf, REVOCATIONS);
    int fd = -1, ok;

    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    ok = fd >= 0 && fchmod(fd, 0700) == 0 &&
         (geteuid() != 0 || fchown(fd, ap_unixd_config.user_id, ap_unixd_config.group_id) == 0);
    if (!ok)
        ap_log_error(APLOG_MARK, APLOG_WARNING, errno, ocsp.server,
                     "mtls_policy: %s cannot be used: with \"MTLSOCSP prefer\" a revocation may be "
                     "forgotten at a restart",
                     path);
    if (fd >= 0)
        close(fd);
    return ok ? path : NULL;
}

int mtls_ocsp_process_start(apr_pool_t *pconf, server_rec *s)
{
    apr_status_t rv;

    memset(&ocsp, 0, sizeof(ocsp));
    if (!mtls_site()->asks_status)
        return OK;
    ocsp.pconf = pconf;
    ocsp.server = s;
    ocsp.parent = getpid();
    if (!make_sockets() || (rv = make_board()) != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, errno, s,
                     "mtls_policy: what asking OCSP responders needs cannot be made");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    ocsp.revocations = make_revocations();
    apr_pool_cleanup_register(pconf, NULL, stop_process, apr_pool_cleanup_null);
    return fork_process();
}
