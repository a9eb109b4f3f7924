import CompactEncoding
import SansIO

/// What a timer of the node is for.
enum TimerPurpose {
    /// A puncher has something to send.
    case puncher(PunchOwner)
    /// The client waits for the server's packets.
    case passiveConnect(ConnectionID)
    /// A pause inside the client's punch negotiation is over.
    case connectPause(ConnectionID)
    /// The server saw no first round, or no stream packet.
    case prepunch(ServerID, UInt64)
    /// The owner did not answer a firewall question.
    case firewallQuestion(ServerID, UInt64)
    /// A finished handshake is forgotten.
    case clearHandshake(ServerID, UInt64)
    case announcer(ServerID)
    case relayTimeout(RelayOwner)
    /// A secret stream's keepalive.
    case stream(ConnectionID)
}

/// What a request of the node is for.
enum RequestPurpose {
    case ping(OperationID)
    /// A NAT sample for a puncher socket.
    case sample(PunchOwner, node: Endpoint, generation: Int)
    case handshake(ConnectionID, Endpoint, isPreconnect: Bool)
    case lanPing(ConnectionID, Endpoint)
    case holepunch(ConnectionID, Endpoint)
    case unannounce(OperationID)
    case announcer(ServerID, AnnouncerRequest)
}

/// What an announcer's request is for.
enum AnnouncerRequest {
    case announce(Endpoint)
    case ping(step: Int)
    case findForUnannounce(Endpoint, step: Int)
    case unannounce(Endpoint, step: Int)
}

/// What a query of the node is for.
enum QueryPurpose {
    case operation(OperationID)
    case connect(ConnectionID)
    case announcer(ServerID)
}

/// Who has a puncher: a client's attempt, or a server's handshake by its number.
enum PunchOwner: Hashable {
    case client(ConnectionID)
    case server(ServerID, UInt64)
}

/// Who waits for a relay: a client's attempt, or a server's handshake.
enum RelayOwner: Hashable {
    case client(ConnectionID)
    case server(ServerID, UInt64)
}

/// Where a signature that is made elsewhere goes.
enum SignaturePurpose {
    case announce(OperationID, node: Endpoint, token: Bytes32, message: AnnounceMessage)
    case unannounce(OperationID, node: Endpoint, token: Bytes32, message: AnnounceMessage)
    case announcer(ServerID, node: Endpoint, token: Bytes32, message: AnnounceMessage, isUnannounce: Bool)
}

/// Whom a raw stream belongs to.
enum StreamOwner {
    case connection(Connection)
    /// A server's handshake that has no connection yet.
    case handshake(ServerHandshake)
}
