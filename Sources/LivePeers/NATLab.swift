import Foundation

/// The network namespaces of one cell: made by `init`, removed by `remove()`.
///
///     host --lan-- router [--mid-- router] --wan-- br0 (198.18.0.0/16, the public network) --wan-- router --lan-- host
///
/// `@unchecked Sendable`: `isThere` and `making` are read and written under `lock`.
public final class NATLab: @unchecked Sendable {
    public struct Failure: Error, Sendable, CustomStringConvertible {
        public let description: String
        /// The machine lacks something: the cell did not run, and nobody is to blame.
        public let isMissing: Bool
    }

    /// A side of the lab: where its host is, and how others see it.
    public struct Side: Sendable {
        public let namespace: String
        public let address: String
        public let publicAddress: String
    }

    /// As many public nodes as a lab has by default.
    public static let usualNodes = 8
    public static let relayAddress = "198.18.2.1"
    /// Where the public nodes are.
    public let dhtAddresses: [String]

    public let cell: NATLabCell
    private let prefix: String
    private let lock = NSLock()
    private var isThere = true
    /// The shell that is making the namespaces.
    private var making: Process?

    /// The namespace of the public network; its interface is `br0`.
    public var publicNamespace: String { "\(prefix)net" }
    public let client: Side
    public let server: Side
    private var names: [String] { ["net", "a", "a2", "b", "b2", "ha", "hb"].map { prefix + $0 } }

    /// Why no lab can be made here, or nil.
    public static func obstacle() -> String? {
        guard geteuid() == 0 else { return "needs root: network namespaces are made" }
        for (tool, package) in [("ip", "iproute2"), ("nft", "nftables"), ("tc", "iproute2")] where !isInstalled(tool) {
            return "needs \(tool), from the package \(package)"
        }
        return nil
    }

    private static func isInstalled(_ tool: String) -> Bool {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin"
        return path.split(separator: ":").contains { FileManager.default.isExecutableFile(atPath: "\($0)/\(tool)") }
    }

    /// Makes the namespaces; what was made is removed again when that fails.
    public init(_ cell: NATLabCell, nodes: Int = NATLab.usualNodes) throws {
        self.cell = cell
        dhtAddresses = (1...max(1, min(nodes, 200))).map { "198.18.1.\($0)" }
        NATLab.sweep()
        // The owner stands in the name, so that what a killed run left behind is known as such.
        let prefix = "\(NATLab.mark)\(getpid())-\(String(UInt16.random(in: 0 ... .max), radix: 36))-"
        self.prefix = prefix
        func side(_ host: String, _ router: NATLabRouter, _ number: Int) -> Side {
            let isOpen = router == .open
            let address = isOpen ? "198.19.\(number).2" : "192.168.\(number).2"
            return Side(namespace: "\(prefix)\(host)", address: address, publicAddress: isOpen ? address : "198.18.0.\(number)0")
        }
        client = side("ha", cell.client, 1)
        server =
            cell.isLAN
            ? Side(namespace: "\(prefix)hb", address: "192.168.1.3", publicAddress: "198.18.0.10") : side("hb", cell.server, 2)
        NATLabCleaner.shared.add(self)
        do {
            try make(script())
            try hinder()
        } catch {
            remove()
            throw error
        }
    }

    /// Ends what still runs in the namespaces and removes them. May be called twice, and from another thread while the lab is being made.
    public func remove() {
        lock.lock()
        defer { lock.unlock() }
        guard isThere else { return }
        isThere = false
        if let making {
            making.terminate()
            making.waitUntilExit()
        }
        for name in names { NATLab.remove(name) }
        NATLabCleaner.shared.drop(self)
    }

    private static let mark = "hclab"

    /// Ends what runs in a namespace, and removes it: with it go its interfaces, rules and queues.
    private static func remove(_ name: String) {
        try? shell("ip netns pids \(name) 2>/dev/null | xargs -r kill -9; ip netns del \(name) 2>/dev/null || true")
    }

    /// Removes the labs of runs that are gone without having removed them: killed, or cut off from power.
    static func sweep() {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "/run/netns")) ?? [] where name.hasPrefix(mark) {
            guard let owner = pid_t(name.dropFirst(mark.count).prefix { $0 != "-" }), kill(owner, 0) != 0, errno == ESRCH else { continue }
            remove(name)
        }
    }

    /// Runs a part of the making, which `remove` ends.
    private func make(_ script: String) throws {
        try NATLab.shell(script) { process in
            lock.lock()
            defer { lock.unlock() }
            guard isThere else { throw Failure(description: "the run was ended", isMissing: false) }
            try process.run()
            making = process
        }
        lock.withLock { making = nil }
    }

    // MARK: Making

    private func script() -> String {
        let (net, hostA, hostB) = ("\(prefix)net", "\(prefix)ha", "\(prefix)hb")
        var lines = [
            "add() { ip netns add $1; ip netns exec $1 sh -c 'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 2>/dev/null || true; echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6 2>/dev/null || true'; ip -n $1 link set lo up; }",
            "forward() { ip netns exec $1 sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'; }",
            // link NAMESPACE INTERFACE NAMESPACE INTERFACE
            "link() { ip -n $1 link add $2 type veth peer name $4 netns $3; ip -n $1 link set $2 up; ip -n $3 link set $4 up; }",
            "add \(net)", "add \(hostA)", "add \(hostB)",
            // Promiscuous, so that a capture on the bridge sees what it forwards.
            "ip -n \(net) link add br0 type bridge", "ip -n \(net) link set br0 up promisc on",
            "ip -n \(net) addr add 198.18.0.1/16 dev br0",
        ]
        for address in dhtAddresses + [NATLab.relayAddress] { lines.append("ip -n \(net) addr add \(address)/16 dev br0") }
        lines += router("a", cell.client, 1, host: hostA)
        if cell.isLAN {
            lines += [
                "link \(prefix)a lan2 \(hostB) lan", "ip -n \(prefix)a link add lan0 type bridge", "ip -n \(prefix)a link set lan0 up",
                "ip -n \(prefix)a addr del 192.168.1.1/24 dev lan", "ip -n \(prefix)a link set lan master lan0",
                "ip -n \(prefix)a link set lan2 master lan0", "ip -n \(prefix)a addr add 192.168.1.1/24 dev lan0",
                "ip -n \(hostB) addr add 192.168.1.3/24 dev lan", "ip -n \(hostB) route add default via 192.168.1.1",
            ]
        } else {
            lines += router("b", cell.server, 2, host: hostB)
            // Every router and the public network know the way to open hosts.
            for (number, kind) in [(1, cell.client), (2, cell.server)] where kind == .open {
                let other = number == 1 ? "b" : "a"
                for name in ["net", other] {
                    lines.append("ip -n \(prefix)\(name) route add 198.19.\(number).0/24 via 198.18.0.\(number)0")
                }
            }
        }
        return lines.joined(separator: "\n")
    }

    /// The commands that put a router of this kind, and the host behind it, at the bridge.
    private func router(_ letter: String, _ kind: NATLabRouter, _ number: Int, host: String) -> [String] {
        let outer = "\(prefix)\(letter)"
        var lines = [
            "add \(outer)", "forward \(outer)", "link \(outer) wan \(prefix)net wan-\(letter)",
            "ip -n \(prefix)net link set wan-\(letter) master br0", "ip -n \(outer) addr add 198.18.0.\(number)0/16 dev wan",
        ]
        var inner = outer
        if kind == .layers {
            inner += "2"
            lines += [
                "add \(inner)", "forward \(inner)", "link \(outer) lan \(inner) wan", "ip -n \(outer) addr add 10.\(number).0.1/24 dev lan",
                "ip -n \(inner) addr add 10.\(number).0.2/24 dev wan", "ip -n \(inner) route add default via 10.\(number).0.1",
            ]
            lines += NATLab.translation(inner, isRandom: false)
        }
        let network = kind == .open ? "198.19" : "192.168"
        lines += [
            "link \(inner) lan \(host) lan", "ip -n \(inner) addr add \(network).\(number).1/24 dev lan",
            "ip -n \(host) addr add \(network).\(number).2/24 dev lan", "ip -n \(host) route add default via \(network).\(number).1",
        ]
        if kind != .open { lines += NATLab.translation(outer, isRandom: kind == .random) }
        return lines
    }

    /// Source translation, and silence towards what nobody inside asked for: dropped before it is entered as a connection of the router's own,
    /// which would take the port that a later packet from inside wants to keep.
    private static func translation(_ namespace: String, isRandom: Bool) -> [String] {
        [
            """
            ip netns exec \(namespace) nft -f - <<'END'
            table ip lab {
                chain incoming {
                    type filter hook input priority 0; policy accept;
                    iifname "wan" drop
                }
                chain passing {
                    type filter hook forward priority 0; policy accept;
                    iifname "wan" ct state != { established, related } drop
                }
                chain translate {
                    type nat hook postrouting priority 100; policy accept;
                    oifname "wan" masquerade\(isRandom ? " fully-random" : "")
                }
            }
            END
            """
        ]
    }

    /// 5 % loss both ways, 4 Mbit/s, or 40 ms on the way out of the client's router.
    private func hinder() throws {
        guard let hindrance = cell.hindrance else { return }
        let router = "\(prefix)a"
        switch hindrance {
        case .loss:
            try make(
                """
                ip netns exec \(router) nft -f - <<'END'
                table ip loss {
                    chain passing {
                        type filter hook forward priority 10; policy accept;
                        numgen random mod 100 < 5 drop
                    }
                }
                END
                """)
        case .rate, .delay:
            let discipline = hindrance == .rate ? "tbf rate 4mbit burst 16k latency 10ms" : "netem delay 40ms"
            do { try make("tc -n \(router) qdisc add dev wan root \(discipline)") } catch {
                throw Failure(description: "\(discipline.split(separator: " ")[0])", isMissing: true)
            }
        }
    }

    /// Runs a shell script that ends at the first command that fails.
    static func shell(_ script: String, run: (Process) throws -> Void = { try $0.run() }) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-e", "-c", script]
        let errors = Pipe()
        process.standardError = errors
        process.standardOutput = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        try run(process)
        let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw Failure(
                description: "the network can't be made: \(text.trimmingCharacters(in: .whitespacesAndNewlines))", isMissing: false)
        }
    }
}

/// Knows the labs that exist, so that a signal can remove them.
///
/// `@unchecked Sendable`: `labs` is read and written under `lock`.
public final class NATLabCleaner: @unchecked Sendable {
    public static let shared = NATLabCleaner()
    private let lock = NSLock()
    private var labs: [NATLab] = []

    func add(_ lab: NATLab) { lock.withLock { labs.append(lab) } }
    func drop(_ lab: NATLab) { lock.withLock { labs.removeAll { $0 === lab } } }

    public func removeAll() { for lab in lock.withLock({ labs }) { lab.remove() } }
}
