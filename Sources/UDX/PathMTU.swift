import SansIO

/// IP packet sizes: the search above 1200 (udx.md section 9) and life on paths below it.
struct PathMTU {
    static let base = 1200
    static let ceiling = 1500
    static let step = 32
    static let triesPerSize = 3
    /// What a path is assumed to carry once 1200 seems too much: every IPv4 host must take it.
    static let reducedIPv4 = 576
    /// Before a reduced path is tried again at full size.
    static let trialInterval: Int64 = 60_000

    private enum Search {
        case base, searching, complete
    }

    /// IP size in use for new packets.
    private(set) var size = PathMTU.base
    /// False once two timeouts of one packet brought nothing: packets up to 1200 may then be fragmented by IP.
    private(set) var setsDontFragment = true
    private(set) var nextTrialAt: Int64?

    private var search = Search.base
    private var target = PathMTU.base
    private var tries = 0
    private(set) var wantsProbe = false
    private let probes: Bool

    init(probes: Bool) { self.probes = probes }

    /// Bytes that IP and UDP headers and the UDX header take.
    static func overhead(_ address: IPAddress) -> Int { address.isIPv4 ? 48 : 68 }

    /// Padding that turns a packet with this much payload into a probe, or nil if it can't be one.
    func padding(payload: Int, to address: IPAddress) -> UInt8? {
        guard wantsProbe, payload > 0 else { return nil }
        let padding = target - payload - PathMTU.overhead(address)
        return (0...255).contains(padding) ? UInt8(padding) : nil
    }

    mutating func probeSent() {
        tries += 1
        wantsProbe = false
    }

    /// Any packet was acknowledged; the first one confirms the base.
    mutating func acknowledged(probe: Bool) {
        guard probes else { return }
        if probe && search == .searching && tries > 0 {
            tries = 0
            size = target
            if target == PathMTU.ceiling {
                search = .complete
            } else {
                target = min(target + PathMTU.step, PathMTU.ceiling)
                wantsProbe = true
            }
        }
        if search == .base {
            search = .searching
            wantsProbe = true
        }
    }

    /// UDX-42. A probe was lost: its size is tried three times in all.
    mutating func probeLost() {
        guard search == .searching else { return }
        if tries >= PathMTU.triesPerSize { search = .complete } else { wantsProbe = true }
    }

    mutating func reset() { self = PathMTU(probes: probes) }

    // MARK: Paths below 1200

    /// Two timeouts of one packet and nothing acknowledged: let IP fragment, make new packets small, stop searching.
    mutating func reduce(for address: IPAddress, at now: Int64) {
        setsDontFragment = false
        // IPv6 carries 1280 everywhere.
        if address.isIPv4 { size = PathMTU.reducedIPv4 }
        search = .complete
        wantsProbe = false
        nextTrialAt = now + PathMTU.trialInterval
    }

    var isReduced: Bool { !setsDontFragment }

    /// A packet of full size goes out to see whether the path carries it again.
    mutating func trialSent(at now: Int64) { nextTrialAt = now + PathMTU.trialInterval }

    mutating func trialAcknowledged() {
        size = PathMTU.base
        setsDontFragment = true
        nextTrialAt = nil
    }
}
