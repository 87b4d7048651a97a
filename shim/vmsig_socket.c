/*
 * Unix sockets: see vmsig_shim.h for the conventions.
 */
#define _GNU_SOURCE
#include "vmsig_shim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Linux 6.5; older headers do not have it. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

int32_t vmsig_socket(int32_t type)
{
    return vmsig_result(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

int32_t vmsig_socketpair(int32_t type, int32_t *out)
{
    return vmsig_result(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, out));
}

int32_t vmsig_set_nonblocking(int32_t fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return vmsig_result(flags);
    return vmsig_result(fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}

/* A path as a socket address; -1 with errno set when it does not fit. */
static int address_of(const char *path, struct sockaddr_un *out)
{
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof out->sun_path) {
        errno = length == 0 ? EINVAL : ENAMETOOLONG;
        return -1;
    }
    memset(out, 0, sizeof *out);
    out->sun_family = AF_UNIX;
    memcpy(out->sun_path, path, length);
    return 0;
}

int32_t vmsig_bind(int32_t fd, const char *path)
{
    struct sockaddr_un address;
    if (address_of(path, &address) < 0)
        return -errno;
    return vmsig_result(bind(fd, (struct sockaddr *)&address, sizeof address));
}

int32_t vmsig_listen(int32_t fd, int32_t backlog)
{
    return vmsig_result(listen(fd, backlog));
}

int32_t vmsig_connect(int32_t fd, const char *path)
{
    struct sockaddr_un address;
    if (address_of(path, &address) < 0)
        return -errno;
    return vmsig_result(connect(fd, (struct sockaddr *)&address, sizeof address));
}

/* A name in the abstract namespace: a NUL and exactly `length` bytes, for there the length counts. */
int32_t vmsig_connect_abstract(int32_t fd, const char *name, int32_t length)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (length <= 0 || (size_t)length >= sizeof address.sun_path)
        return length <= 0 ? -EINVAL : -ENAMETOOLONG;
    memcpy(address.sun_path + 1, name, (size_t)length);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    return vmsig_result(connect(fd, (struct sockaddr *)&address, size));
}

/*
 * A TCP connection to a literal address, IPv4 or IPv6, begun without waiting: the socket is writable when it
 * is made or has failed (vmsig_socket_error tells which). -EINVAL for what is not an address.
 */
int32_t vmsig_connect_inet(const char *text, int32_t port)
{
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
    int is_four = inet_pton(AF_INET, text, &four.sin_addr) == 1;
    if (!is_four && inet_pton(AF_INET6, text, &six.sin6_addr) != 1)
        return -EINVAL;
    int one = 1;
    int fd = socket(is_four ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    const struct sockaddr *address = is_four ? (struct sockaddr *)&four : (struct sockaddr *)&six;
    if (connect(fd, address, is_four ? sizeof four : sizeof six) == 0 || errno == EINPROGRESS)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

int32_t vmsig_accept(int32_t fd)
{
    return vmsig_result(accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

int32_t vmsig_shutdown(int32_t fd, int32_t how)
{
    return vmsig_result(shutdown(fd, how));
}

int32_t vmsig_peer_credentials(int32_t fd, uint32_t *out)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
        return -errno;
    out[0] = (uint32_t)peer.pid;
    out[1] = peer.uid;
    out[2] = peer.gid;
    return 0;
}

int32_t vmsig_peer_pidfd(int32_t fd)
{
    int pidfd = -1;
    socklen_t length = sizeof pidfd;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) < 0)
        return -errno;
    return pidfd;
}

/* The pending error of a socket, negated; reading it clears it. */
int32_t vmsig_socket_error(int32_t fd)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        return -errno;
    return -error;
}

int32_t vmsig_set_socket_option(int32_t fd, int32_t option, int32_t value)
{
    return vmsig_result(setsockopt(fd, SOL_SOCKET, option, &value, sizeof value));
}
