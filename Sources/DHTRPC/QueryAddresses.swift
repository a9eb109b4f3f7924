import CompactEncoding
import SansIO

/// The addresses that one query has come across: what it knows of each, who referred to it, and its id, so that it is hashed once.
struct QueryAddresses {
    enum State {
        /// Seen, and too far away to be asked.
        case passedBy
        /// To be asked or being asked.
        case pending
        case done
        case down
    }

    struct Address {
        let endpoint: Endpoint
        let id: Bytes32
        /// How many nodes in a row had been asked when it was heard of.
        let distance: Int32
        var state: State
        fileprivate var firstReferral: Int32 = -1
        fileprivate var lastReferral: Int32 = -1
        fileprivate var referrals: Int32 = 0
    }

    private struct Referral {
        let referrer: Endpoint
        var next: Int32
    }

    private var indices: [UInt64: Int32] = [:]
    private var addresses: [Address] = []
    private var referrals: [Referral] = []

    var count: Int { addresses.count }

    subscript(index: Int) -> Address { addresses[index] }

    /// One word for an IPv4 address; queries have no others.
    private static func key(_ endpoint: Endpoint) -> UInt64 {
        guard case .v4(let host) = endpoint.address else { return .max }
        return UInt64(host) << 16 | UInt64(endpoint.port)
    }

    func find(_ endpoint: Endpoint) -> Int? { indices[QueryAddresses.key(endpoint)].map(Int.init) }

    mutating func add(_ endpoint: Endpoint, _ id: Bytes32, _ state: State, distance: Int) -> Int {
        let index = addresses.count
        addresses.append(Address(endpoint: endpoint, id: id, distance: Int32(truncatingIfNeeded: distance), state: state))
        indices[QueryAddresses.key(endpoint)] = Int32(truncatingIfNeeded: index)
        return index
    }

    mutating func set(_ index: Int, _ state: State) { addresses[index].state = state }

    /// DHT-43. Remembers who referred to an address, up to twenty of them.
    mutating func addReferral(_ index: Int, from referrer: Endpoint) {
        guard addresses[index].referrals < RoutingTable.k else { return }
        let referral = Int32(truncatingIfNeeded: referrals.count)
        referrals.append(Referral(referrer: referrer, next: -1))
        let last = addresses[index].lastReferral
        if last >= 0 { referrals[Int(last)].next = referral } else { addresses[index].firstReferral = referral }
        addresses[index].lastReferral = referral
        addresses[index].referrals += 1
    }

    /// Who referred to an address, in order.
    func referrers(of index: Int) -> [Endpoint] {
        var result: [Endpoint] = []
        var next = addresses[index].firstReferral
        while next >= 0 {
            result.append(referrals[Int(next)].referrer)
            next = referrals[Int(next)].next
        }
        return result
    }
}
