/*
 * What the kernel knows of one unix socket of this network namespace, by its number (the inode of
 * /proc/PID/fd's socket:[N]): SOCK_DIAG, asked for that one, so that a host with a million of them costs no
 * more. The table of /proc/net/unix does not tell who is at the other end.
 */
#define _GNU_SOURCE
#include "vmsig_shim.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TYPE, STATE, IS_NAMED, PEER };

static int32_t take(const struct nlmsghdr *head, ssize_t bytes, double *out)
{
    if (!NLMSG_OK(head, (size_t)bytes))
        return -EPROTO;
    if (head->nlmsg_type == NLMSG_ERROR) {
        const struct nlmsgerr *error = NLMSG_DATA(head);
        return error->error < 0 ? error->error : -EPROTO;
    }
    const struct unix_diag_msg *told = NLMSG_DATA(head);
    if (head->nlmsg_type != SOCK_DIAG_BY_FAMILY || head->nlmsg_len < NLMSG_LENGTH(sizeof *told))
        return -EPROTO;
    out[TYPE] = told->udiag_type;
    out[STATE] = told->udiag_state;
    out[IS_NAMED] = out[PEER] = 0;
    int left = (int)(head->nlmsg_len - NLMSG_LENGTH(sizeof *told));
    for (struct rtattr *each = (struct rtattr *)(told + 1); RTA_OK(each, left); each = RTA_NEXT(each, left)) {
        uint32_t peer;
        if (each->rta_type == UNIX_DIAG_NAME)
            out[IS_NAMED] = 1;
        else if (each->rta_type == UNIX_DIAG_PEER && RTA_PAYLOAD(each) == sizeof peer) {
            memcpy(&peer, RTA_DATA(each), sizeof peer);
            out[PEER] = peer;
        }
    }
    return 0;
}

/* Four doubles come out: its type, its state (1: connected), 1 when it has a name, the number of the socket
 * that it is connected to (0: none). -ENOENT: no such socket is here; another error: the kernel does not
 * tell, or this process may not ask. */
int32_t vmsig_unix_socket(uint32_t number, double *out)
{
    struct {
        struct nlmsghdr head;
        struct unix_diag_req body;
    } request = {
        .head = { .nlmsg_len = sizeof request, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST },
        .body = { .sdiag_family = AF_UNIX, .udiag_states = UINT32_MAX, .udiag_ino = number,
                  .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER,
                  .udiag_cookie = { UINT32_MAX, UINT32_MAX } },
    };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd < 0)
        return -errno;
    _Alignas(struct nlmsghdr) uint8_t answer[1024];
    int32_t result;
    ssize_t bytes;
    if (send(fd, &request, sizeof request, 0) < 0)
        result = -errno;
    /* The answer is there when the question has been sent. */
    else if ((bytes = recv(fd, answer, sizeof answer, MSG_DONTWAIT)) < 0)
        result = -errno;
    else
        result = take((const struct nlmsghdr *)answer, bytes, out);
    close(fd);
    return result;
}
