/// What went wrong, under Node's names. None is on the wire. hyperdht.md section 18.
public enum HyperDHTError: String, Error, Sendable, CaseIterable {
    case peerNotFound = "PEER_NOT_FOUND"
    case peerConnectionFailed = "PEER_CONNECTION_FAILED"
    case badHandshakeReply = "BAD_HANDSHAKE_REPLY"
    case badHolepunchReply = "BAD_HOLEPUNCH_REPLY"
    case handshakeInvalid = "HANDSHAKE_INVALID"
    case handshakeUnfinished = "HANDSHAKE_UNFINISHED"
    case serverIncompatible = "SERVER_INCOMPATIBLE"
    case serverError = "SERVER_ERROR"
    case holepunchAborted = "HOLEPUNCH_ABORTED"
    case holepunchInvalid = "HOLEPUNCH_INVALID"
    case holepunchProbeTimeout = "HOLEPUNCH_PROBE_TIMEOUT"
    case holepunchDoubleRandomizedNATs = "HOLEPUNCH_DOUBLE_RANDOMIZED_NATS"
    case cannotHolepunch = "CANNOT_HOLEPUNCH"
    case remoteNotHolepunching = "REMOTE_NOT_HOLEPUNCHING"
    case remoteNotHolepunchable = "REMOTE_NOT_HOLEPUNCHABLE"
    case remoteAborted = "REMOTE_ABORTED"
    case relayAborted = "RELAY_ABORTED"
    case duplicateConnection = "DUPLICATE_CONNECTION"
    case alreadyListening = "ALREADY_LISTENING"
    case keyPairAlreadyUsed = "KEYPAIR_ALREADY_USED"
    case nodeDestroyed = "NODE_DESTROYED"
    case streamNotConnected = "STREAM_NOT_CONNECTED"
    case suspended = "SUSPENDED"
    // dht-rpc's.
    case requestTimeout = "REQUEST_TIMEOUT"
    case requestDestroyed = "REQUEST_DESTROYED"
    case ioSuspended = "IO_SUSPENDED"
    case tooFewNodes = "TOO_FEW_NODES"
    case noToken = "NO_TOKEN"
    // UDX's.
    case connectionReset = "ECONNRESET"
    case connectionTimedOut = "ETIMEDOUT"
    // The secret stream's.
    case streamInvalid = "STREAM_INVALID"
    /// Not Node's: one of this node's own limits is reached.
    case tooMany = "TOO_MANY"
    /// Not Node's: the application refuses this peer from now on.
    case peerRefused = "PEER_REFUSED"
    /// Not Node's: text or bytes that are no key.
    case invalidKey = "INVALID_KEY"
    /// Not Node's: not an IPv4 address, or port 0.
    case invalidDestination = "INVALID_DESTINATION"
}
