import CompactEncoding
import DHTRPC
import HyperCrypto
import HyperDHT
import SansIO

/// The places where the specification asks for something else than the reference does, each held to exactly that.
struct NodeDifferences {
    static let empty = "an empty value: the reference sets the value flag with length 0, which a sender should not (dht-rpc.md section 1)"
    static let record = "HDHT-15b: the reference goes on with the first record of a key announced again, ours has the later one"

    static let rotation = "linked: token secrets turn with a timer of the recorded process, which may be a turn before or behind ours"

    private let view: NodeView
    /// Secrets that issue, in the order of their turns.
    private let secrets: [Bytes32]

    init(_ view: NodeView, _ tokenSecrets: [Bytes32]?) {
        self.view = view
        guard let first = tokenSecrets, first.count == 2 else {
            secrets = []
            return
        }
        var chain = first
        for _ in 0..<16 { chain.append(Blake2b.hash256(chain[chain.count - 2].bytes)) }
        secrets = Array(chain.dropFirst())
    }

    /// Two tokens for the same host, of secrets that follow each other.
    private func areNeighbours(_ a: Bytes32, _ b: Bytes32, _ host: IPAddress) -> Bool {
        func turn(_ token: Bytes32) -> Int? { secrets.firstIndex { RoundTripTokens.token(for: host, secret: $0) == token } }
        guard let one = turn(a), let other = turn(b) else { return false }
        return abs(one - other) == 1
    }

    /// Which allowance makes the two the same; nil: none does.
    func allowance(_ ours: [UInt8], _ theirs: [UInt8], before number: Int) -> String? {
        if let mine = try? Request(decoding: ours), var request = try? Request(decoding: theirs), request.value == [], mine.value == nil {
            request.value = nil
            return request.encoded == ours ? NodeDifferences.empty : nil
        }
        if let mine = try? Response(decoding: ours), var response = try? Response(decoding: theirs), let own = mine.token,
            let recorded = response.token, own != recorded
        {
            response.token = own
            return response.encoded == ours && areNeighbours(own, recorded, mine.to.address) ? NodeDifferences.rotation : nil
        }
        if let mine = try? Response(decoding: ours), var response = try? Response(decoding: theirs), let value = mine.value,
            let recorded = response.value, isLaterRecord(value, recorded, before: number)
        {
            response.value = value
            return response.encoded == ours ? NodeDifferences.record : nil
        }
        return nil
    }

    /// The same keys in the same order with the same bump; where records differ, theirs was announced to this node earlier than ours, and
    /// ours is the last one.
    private func isLaterRecord(_ ours: [UInt8], _ theirs: [UInt8], before number: Int) -> Bool {
        guard let mine = try? LookupReply(decoding: ours), let recorded = try? LookupReply(decoding: theirs), mine.bump == recorded.bump,
            mine.peers.map(\.publicKey) == recorded.peers.map(\.publicKey)
        else { return false }
        for (own, other) in zip(mine.peers, recorded.peers) where own != other {
            let known = announced(own.publicKey, before: number)
            guard known.last == own, known.dropLast().contains(other) else { return false }
        }
        return true
    }

    private func announced(_ key: Bytes32, before number: Int) -> [PeerRecord] {
        view.packets.compactMap { packet in
            guard packet.number < number, view.isOwn(packet.destination), let request = try? Request(decoding: packet.payload),
                !request.isInternal, request.command == HyperDHTCommand.announce.rawValue, let value = request.value,
                var record = (try? AnnounceMessage(decoding: value))?.peer, record.publicKey == key
            else { return nil }
            record.relayAddresses = Array(record.relayAddresses.prefix(3))
            return record
        }
    }
}
