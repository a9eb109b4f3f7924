import HyperDHT

extension StreamFailure {
    init(_ error: HyperDHTError) { self.init(code: error.rawValue, message: error.explanation) }
}

extension HyperDHTError {
    /// For people: what happened, and where it helps what to do about it.
    fileprivate var explanation: String {
        switch self {
        case .peerNotFound: "nobody on this network knows the way to this key: is the peer running, and on the same network?"
        case .peerConnectionFailed:
            "the peer could not be reached: it may be gone, refuse us, or stand behind a firewall that nothing crosses"
        case .badHandshakeReply, .badHolepunchReply: "a node on the way answered with nonsense"
        case .handshakeInvalid: "the peer's handshake does not verify: it does not hold the key that was dialled"
        case .handshakeUnfinished: "the handshake came to no end"
        case .serverIncompatible: "the peer speaks a version of the protocol that we do not"
        case .serverError: "the peer could not take the connection"
        case .holepunchAborted: "the NATs between the two could not be crossed: set a relay (relayThrough)"
        case .holepunchInvalid: "the peer sent a hole punch that does not verify"
        case .holepunchProbeTimeout: "the peer's hole punch was never heard: set a relay (relayThrough)"
        case .holepunchDoubleRandomizedNATs: "both NATs draw their ports at random, which nothing crosses: set a relay (relayThrough)"
        case .cannotHolepunch: "hole punching is needed and switched off on this side"
        case .remoteNotHolepunching: "hole punching is needed and switched off at the peer"
        case .remoteNotHolepunchable: "the peer's NAT can't be crossed: set a relay (relayThrough)"
        case .remoteAborted: "the peer gave the connection up"
        case .relayAborted: "the relay gave the connection up"
        case .duplicateConnection: "another connection with the same peer took its place"
        case .alreadyListening: "the server listens already"
        case .keyPairAlreadyUsed: "another server of this node listens under this key: close it, or use another key pair"
        case .nodeDestroyed: "our node was destroyed"
        case .streamNotConnected: "the connection is not open: wait for opened()"
        case .suspended, .ioSuspended: "our node is suspended: call resume()"
        case .requestTimeout: "no answer came in time"
        case .requestDestroyed: "the request was given up"
        case .tooFewNodes: "too few nodes answered: is the network there? Check the bootstrap list"
        case .noToken: "the node gave no token, which it takes to store something there"
        case .connectionReset: "the peer destroyed the connection, or lost it"
        case .connectionTimedOut: "the peer answers no more"
        case .streamInvalid: "what arrived does not decrypt: the connection can't go on"
        case .tooMany: "a limit of this node is reached: close something first"
        case .peerRefused: "the application refuses this peer now"
        case .invalidKey: "these are no 32 bytes of a public key"
        case .invalidDestination: "the address is not one that datagrams can be sent to: IPv4 and a port are expected"
        }
    }
}
