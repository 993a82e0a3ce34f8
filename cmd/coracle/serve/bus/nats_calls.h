/* SPDX-License-Identifier: MIT */
/* What is called of libnats. */
#ifndef CORACLE_CMD_SERVE_BUS_NATS_CALLS_H
#define CORACLE_CMD_SERVE_BUS_NATS_CALLS_H

#include <nats/nats.h>

#define NATS_EACH_CALL(DO)                                                                                             \
    DO(natsOptions_Create)                                                                                             \
    DO(natsOptions_Destroy)                                                                                            \
    DO(natsOptions_SetServers)                                                                                         \
    DO(natsOptions_SetName)                                                                                            \
    DO(natsOptions_SetTimeout)                                                                                         \
    DO(natsOptions_SetWriteDeadline)                                                                                   \
    DO(natsOptions_SetPingInterval)                                                                                    \
    DO(natsOptions_SetMaxPingsOut)                                                                                     \
    DO(natsOptions_SetAllowReconnect)                                                                                  \
    DO(natsOptions_SetNoEcho)                                                                                          \
    DO(natsOptions_SetSendAsap)                                                                                        \
    DO(natsOptions_UseGlobalMessageDelivery)                                                                           \
    DO(natsOptions_SetClosedCB)                                                                                        \
    DO(natsOptions_SetSecure)                                                                                          \
    DO(natsOptions_LoadCATrustedCertificates)                                                                          \
    DO(natsOptions_LoadCertificatesChain)                                                                              \
    DO(natsOptions_SetUserCredentialsFromFiles)                                                                        \
    DO(natsOptions_SetUserInfo)                                                                                        \
    DO(natsOptions_SetToken)                                                                                           \
    DO(natsConnection_Connect)                                                                                         \
    DO(natsConnection_Subscribe)                                                                                       \
    DO(natsConnection_FlushTimeout)                                                                                    \
    DO(natsConnection_Publish)                                                                                         \
    DO(natsConnection_GetMaxPayload)                                                                                   \
    DO(natsConnection_GetLastError)                                                                                    \
    DO(natsConnection_Close)                                                                                           \
    DO(natsConnection_Destroy)                                                                                         \
    DO(natsSubscription_SetPendingLimits)                                                                              \
    DO(natsSubscription_SetOnCompleteCB)                                                                               \
    DO(natsSubscription_GetDropped)                                                                                    \
    DO(natsSubscription_Unsubscribe)                                                                                   \
    DO(natsSubscription_Destroy)                                                                                       \
    DO(natsMsg_GetData)                                                                                                \
    DO(natsMsg_GetDataLength)                                                                                          \
    DO(natsMsg_Destroy)                                                                                                \
    DO(natsStatus_GetText)                                                                                             \
    DO(nats_GetLastError)

/* nats.natsMsg_Destroy is natsMsg_Destroy, and so on. */
struct nats_calls {
#define NATS_DECLARE(name) __typeof__(name) *name;
    NATS_EACH_CALL(NATS_DECLARE)
#undef NATS_DECLARE
};

#endif
