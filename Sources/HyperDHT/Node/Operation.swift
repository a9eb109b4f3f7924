import CompactEncoding
import DHTRPC
import SansIO

/// A search, an announce, a put or a get of the application, until it is finished.
final class Operation {
    enum Kind {
        case ping
        /// A request or a query of the owner's own making.
        case raw
        case lookup
        case findPeer
        /// LOOKUP, taking back what the replies show of our key; then, if `record` is there, announcing anew.
        case announce(Signer, record: PeerRecord?, options: AnnounceOptions)
        case immutableGet
        case immutablePut([UInt8])
        case mutableGet(publicKey: Bytes32, MutableGetOptions)
        case mutablePut(MutablePutRequest)
    }

    let id: OperationID
    let kind: Kind
    let target: Bytes32
    var query: QueryID?
    var request: RequestID?
    /// The best mutable record so far, or the value found.
    var record: MutableRecord?
    var value: [UInt8]?
    /// Unannounces and their signatures that are not back yet.
    var unannouncing = 0
    var outcome: QueryOutcome?
    /// The commit waits until every unannounce is done and every signature is there.
    var commitTo: [ReceivedResponse]?
    var signing = 0
    var commits: [(node: Endpoint, token: Bytes32, message: AnnounceMessage)] = []

    init(id: OperationID, kind: Kind, target: Bytes32) {
        self.id = id
        self.kind = kind
        self.target = target
    }

    var takesBack: Bool {
        if case .announce(_, let record, let options) = kind { return record == nil || options.clears }
        return false
    }
}
