/*
 * Closing what a peer had a hand in, so that no loop ever waits for it.
 *
 * A close can wait for as long as a peer likes: the last reference of a TCP socket with SO_LINGER and unsent
 * bytes waits for its lingering time, wherever that reference is dropped. An unread packet of a unix socket
 * holds references (SCM_RIGHTS), so closing that unix socket, or reading the packet without taking them,
 * waits too: one packet of anybody who may connect would stop the loop. And closing a descriptor that was
 * received flushes it, which for a file of FUSE waits for its server.
 *
 * What cannot wait is closed at once: a memfd, and a connection whose unread packets hold no descriptor. They
 * are thrown away first: Linux answers a close with unread packets by a reset, and the peer's next receive
 * would fail before it gets what was said to it last. All else is closed on threads of its own. A signal ends
 * the wait of a socket that lingers, so these threads get one every TICK_NS while they close. (No signal ends
 * a flush: of those MOST_THREADS can be had. Only peers that are let in have their descriptors received.)
 *
 * They wait on a semaphore. A condition variable of glibc 2.36 can leave its signaller waiting for ever for
 * waiters that sleep (seen: pthread_cond_signal in __condvar_quiesce_and_switch_g1), and the signaller here
 * is the loop.
 *
 * The threads never end: the library has to stay where it is when it is closed, which its flag nodelete sees
 * to. (Seen without: one in some 75 processes on a busy machine ended by SIGSEGV as it exited, when a thread
 * woke between Deno's dlclose and its end.)
 *
 * The queue has a place for every descriptor that a process can have: handing one over never fails and never
 * waits.
 */
#define _GNU_SOURCE
#include "vmsig_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define QUEUE (1 << 20)
#define MOST_THREADS 8
#define MOST_PACKETS 4096
#define MOST_PACKETS_AT_ONCE 64
#define TICK_NS 200000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sem_t more; /* made with the first thread */
static struct closing { int32_t fd, is_connection; } queue[QUEUE]; /* untouched pages of it cost nothing */
static uint32_t head, count, threads, idle;

static void on_tick(int signal)
{
    (void)signal;
}

/* Throws away the unread packets of a connection that hold no descriptor. Whether none is left. */
static int is_drained(int fd)
{
    char byte;
    int empty = 0;
    if (shutdown(fd, SHUT_RD) < 0 && errno != ENOTCONN)
        return 0;
    for (int i = 0; i < MOST_PACKETS_AT_ONCE; i++) {
        struct iovec space = {&byte, 1};
        struct msghdr message = {.msg_iov = &space, .msg_iovlen = 1};
        ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_PEEK);
        if (n < 0 && errno == EAGAIN)
            return 1;
        if (n < 0 && errno != ECONNRESET)
            return 0;
        if (n >= 0 && (message.msg_flags & MSG_CTRUNC) != 0)
            return 0;
        /* The end, or an empty packet, or the peer's own reset in front of what it left. */
        if (n <= 0 && ++empty == 2)
            return 1;
        if (n >= 0)
            recv(fd, &byte, 1, MSG_DONTWAIT);
    }
    return 0;
}

/* A descriptor that a peer sent is only closed: what it is open on is others' as well, maybe the peer's
 * own end of a
 * connection, and neither ours to shut down nor to read from. */
static void put_away(int fd, int is_connection)
{
    char byte;
    int empty = is_connection ? 0 : 2;
    if (is_connection)
        shutdown(fd, SHUT_RD);
    for (int i = 0; i < MOST_PACKETS && empty < 2; i++) {
        ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);
        if (n > 0)
            empty = 0;
        else if (n == 0 || errno == ECONNRESET)
            empty++; /* the end, or an empty packet, or the peer's own reset in front of what it left */
        else if (errno != EINTR)
            break;
    }
    close(fd);
}

static void *run(void *unused)
{
    (void)unused;
    timer_t ticks;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMAX - 2};
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    int has_ticks = timer_create(CLOCK_MONOTONIC, &event, &ticks) == 0;
    sigset_t tick;
    sigemptyset(&tick);
    sigaddset(&tick, SIGRTMAX - 2);
    struct itimerspec on = {{0, TICK_NS}, {0, TICK_NS}}, off = {{0, 0}, {0, 0}};
    for (;;) {
        pthread_mutex_lock(&lock);
        idle++;
        pthread_mutex_unlock(&lock);
        while (sem_wait(&more) < 0) {
        }
        pthread_mutex_lock(&lock);
        idle--;
        struct closing next = queue[head];
        head = (head + 1) % QUEUE;
        count--;
        pthread_mutex_unlock(&lock);
        if (has_ticks)
            timer_settime(ticks, 0, &on, NULL);
        pthread_sigmask(SIG_UNBLOCK, &tick, NULL);
        put_away(next.fd, next.is_connection);
        pthread_sigmask(SIG_BLOCK, &tick, NULL);
        if (has_ticks)
            timer_settime(ticks, 0, &off, NULL);
    }
    return NULL;
}

/* One more thread, with every signal blocked: those are for others. The lock is held. */
static int start(void)
{
    struct sigaction action = {.sa_handler = on_tick}; /* no SA_RESTART: a wait is to end */
    sigset_t all, before;
    pthread_t thread;
    pthread_attr_t attributes;
    sigemptyset(&action.sa_mask);
    sigaction(SIGRTMAX - 2, &action, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (threads == 0)
        sem_init(&more, 0, 0);
    int error = pthread_create(&thread, &attributes, run, NULL);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        threads++;
    return error;
}

int32_t vmsig_close_elsewhere(int32_t fd, int32_t is_connection)
{
    if (fd < 0)
        return -EBADF;
    int domain;
    socklen_t bytes = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) == 0 ? domain == AF_UNIX && is_connection && is_drained(fd)
                                                                    : fcntl(fd, F_GET_SEALS) >= 0)
        return vmsig_result(close(fd));
    int error = 0;
    pthread_mutex_lock(&lock);
    /* One that was woken is idle until it runs: those that wait are counted against those that are idle. */
    if (threads < MOST_THREADS && count >= idle)
        error = start();
    if (count == QUEUE || threads == 0) {
        pthread_mutex_unlock(&lock);
        return error != 0 ? -error : -EAGAIN;
    }
    queue[(head + count) % QUEUE] = (struct closing){fd, is_connection};
    count++;
    pthread_mutex_unlock(&lock);
    sem_post(&more);
    return 0;
}
