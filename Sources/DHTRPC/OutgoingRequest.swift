import CompactEncoding
import SansIO

/// One of our requests until it is answered or given up.
final class OutgoingRequest {
    /// Who waits for it.
    enum Purpose {
        case owner
        /// A query's question to one node.
        case query(QueryID)
        case commit(QueryID)
        /// A liveness check of a table node.
        case check(Bytes32)
        /// A liveness check on behalf of a newcomer to a full row.
        case swap(old: Bytes32, new: TableNode)
        /// PING_NAT of a firewall check.
        case firewallProbe
        /// PING_NAT of the quick check at the start.
        case quickProbe
        /// PING of a suggested bootstrap address.
        case suggestedAddress(Int)
        /// Nobody.
        case none
    }

    let number: UInt64
    let tid: UInt16
    let to: Endpoint
    /// The node's id where the request was addressed to one: a timeout removes it from the table.
    let toID: Bytes32?
    /// nil until the first datagram, for a request made while no socket was bound.
    @exclusivity(unchecked) var socket: SocketID?
    let isPingNAT: Bool
    let payload: [UInt8]
    let timeToLive: UInt8
    let timeout: Interval
    let retries: Int
    let isForced: Bool
    let endsOnForeignAnswer: Bool
    let created: Instant
    let session: SessionID?
    let purpose: Purpose
    @exclusivity(unchecked) var sent = 0
    /// In the queue before the congestion window.
    @exclusivity(unchecked) var isQueued = false
    /// Counts as slow in its query since its first retransmission.
    @exclusivity(unchecked) var isSlow = false
    /// When the current attempt is over; `.distantFuture` while queued, and once it has ended.
    @exclusivity(unchecked) var deadline = Instant.distantFuture
    /// Answered, given up or cancelled.
    @exclusivity(unchecked) var isOver = false

    init(
        number: UInt64, tid: UInt16, to: Endpoint, isPingNAT: Bool, payload: [UInt8], socket: SocketID?, timeout: Interval, retries: Int,
        options: RequestOptions, created: Instant, purpose: Purpose
    ) {
        self.number = number
        self.tid = tid
        self.to = to
        toID = options.id
        self.socket = socket
        self.isPingNAT = isPingNAT
        self.payload = payload
        timeToLive = options.timeToLive
        self.timeout = timeout
        self.retries = retries
        isForced = options.isForced
        endsOnForeignAnswer = options.endsOnForeignAnswer
        self.created = created
        session = options.session
        self.purpose = purpose
    }
}

/// How a request is to be made.
public struct RequestOptions: Sendable {
    /// The command is dht-rpc's own.
    public var isInternal = false
    public var token: Bytes32?
    public var target: Bytes32?
    /// nil or empty: none.
    public var value: [UInt8]?
    /// The id of the node asked, where it is known: a timeout then removes it from the routing table.
    public var id: Bytes32?
    /// Retransmissions; nil: the node's default (3). DHT-34, DHT-35.
    public var retries: Int?
    /// Bypasses the congestion window and is never sent again.
    public var isForced = false
    /// IP time to live; 0: the system's.
    public var timeToLive: UInt8 = 0
    /// nil: the server socket of an open node, the client socket of a firewalled one.
    public var socket: SocketID?
    /// Per attempt; nil: the node's default (1 s).
    public var timeout: Interval?
    public var session: SessionID?
    /// An answer with our tid from another address is never taken. True also ends the request at once (`destroyed`), as the reference's
    /// handshakes give up a relay; false waits on for the true answer.
    public var endsOnForeignAnswer = false

    public init() {}
}
