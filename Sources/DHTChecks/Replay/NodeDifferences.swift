import CompactEncoding
import DHTRPC
import HyperDHT
import SansIO

/// The places where the specification asks for something else than the reference does, each held to exactly that.
struct NodeDifferences {
    static let empty = "an empty value: the reference sets the value flag with length 0, which a sender should not (dht-rpc.md section 1)"
    static let record = "HDHT-15b: the reference goes on with the first record of a key announced again, ours has the later one"

    private let view: NodeView

    init(_ view: NodeView) { self.view = view }

    /// Which allowance makes the two the same; nil: none does.
    func allowance(_ ours: [UInt8], _ theirs: [UInt8], before number: Int) -> String? {
        if let mine = try? Request(decoding: ours), var request = try? Request(decoding: theirs), request.value == [], mine.value == nil {
            request.value = nil
            return request.encoded == ours ? NodeDifferences.empty : nil
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
