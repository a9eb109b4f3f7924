import CompactEncoding

/// Short scripts that a fuzzer starts from. Their meaning is in the types that run them.
enum ScriptSeeds {
    /// Honest and hostile; writes both ways, deliveries, losses, ends; forged packets of each kind.
    @Sendable static func udx() -> [[UInt8]] {
        [
            hex("000000" + "000004" + "800004" + "0d8d1305" + "0600860012c8" + "0d8d"),
            hex("000001" + "05ffff" + "0d8d" + "0e0001" + "1007000300" + "110100" + "0dff8d" + "12ff" + "1600"),
            hex("0100000000" + "160128282800000000100000" + "160228282801282828000041ff00"),
            hex("013f00000000" + "0000100d" + "16022828c801282828020041100000" + "1510ff" + "12e108"),
        ]
    }

    /// Each pattern, in order; then with messages changed, repeated and swapped.
    @Sendable static func noise() -> [[UInt8]] {
        [
            hex("000000" + "00008480040084" + "0400"), hex("0102616200" + "0003414243840484008004"), hex("02000000008400"),
            hex("0000000000" + "8c020084" + "000a8c0284"), hex("0100000000" + "8c0207848c0384"),
        ]
    }

    /// Messages both ways in pieces; a handshake elsewhere; damage; unordered messages; ends.
    @Sendable static func secretStream() -> [[UInt8]] {
        [
            hex("000d8d0d8d0d" + "0005" + "0007" + "0503" + "0d8d" + "178d0d97"),
            hex("400d8d" + "0003800405ff8d0d" + "1203414243" + "1300" + "170d"),
            hex("4c0d8d" + "0005" + "100203" + "0d" + "16ff"), hex("010d8d" + "0401008d09ff0f" + "0d"), hex("400d8d0014" + "050a" + "170d"),
            hex("420d8d" + "110020" + "0d"),
        ]
    }

    /// Channels that cross, pending ones, requests, corks; forged opens, rejects, closes and batches.
    @Sendable static func protomux() -> [[UInt8]] {
        [
            hex("00" + "00000c01" + "80000c01" + "1797" + "0600020186" + "000301" + "1797" + "040017"),
            hex("00" + "8a00" + "00000c01" + "17" + "8c000c" + "97" + "0e060001060102" + "0f17"),
            hex("01" + "1a0101" + "0001000000" + "1a01010101020000" + "1a00010300" + "1a0001"),
            hex("02" + "00000c01" + "0e060020060030" + "0f17"),
        ]
    }

    /// Pairs that meet, roles taken twice, unpairs, sessions and streams that close; forged pairs.
    @Sendable static func blindRelay() -> [[UInt8]] {
        [
            hex("00" + "0001010100" + "4001000200" + "04010000"), hex("01" + "8001010505000000" + "40010002" + "0700"),
            hex("00" + "00010101" + "06ff" + "0a00"),
            hex("00" + "0001010100" + "8001000200" + "0000" + "8a0000"),
        ]
    }

    /// Answers to the first queries, requests of strangers, queries with commits, suspend and resume, time.
    @Sendable static func dhtRPC() -> [[UInt8]] {
        [
            hex("00" + "0000040405060700" + "0000040a0b0c0d00" + "110a" + "12000000010000000700" + "0000030102030400" + "1105"),
            hex("01" + "0900020005070a0b0c" + "0900020109000000" + "0b000020440500070000" + "17000102030405"),
            hex("02" + "120003ff0506" + "0000040405060700" + "1a05" + "160000" + "1600030f10" + "11ff"),
            hex("5d" + "0901c80000000000" + "09010a00" + "0f64" + "0f64"),
            hex("0c" + "00000405000607" + "11ff" + "11ff" + "1201000203040506" + "1300010203" + "1606"),
        ]
    }

    /// A server and its client with punches and data; a connect through relays; stores; operations.
    @Sendable static func hyperDHT() -> [[UInt8]] {
        [
            hex("00" + "160000" + "0805000000000000" + "0a3102000003" + "0c0105010203040500" + "0c0400" + "0c0600" + "11ff"),
            hex(
                "01" + "1700000000" + "000000000000000000000000" + "000000000000000000000000" + "0e0003010203" + "0e0500ff00"
                    + "18000561626364" + "11ff"),
            hex("00" + "05050004000102030400" + "0705000502010005000304000405" + "0705010502010406010304000000"),
            hex("00" + "13000a00" + "0000000000" + "13030b0000" + "11ff" + "120a"),
            hex("02" + "161000" + "0805000200000500" + "0c0100" + "1a0000" + "1b0000" + "1b0500" + "0806"),
            hex("10" + "170000" + "002000000000" + "0e" + "1b0d00"),
        ]
    }

    /// Topics, peers found and dialled, connections that cross, bans, flushes, suspend, resume, destroy.
    @Sendable static func swarm() -> [[UInt8]] {
        [
            hex("00" + "0001010101" + "0e0001" + "0600020500060100" + "10001100" + "0a0001" + "1401" + "19ff19ff"),
            hex(
                "00" + "0000020101" + "0e00" + "060003030100040005000600" + "1000" + "1704" + "1503" + "1f00" + "0e00" + "0e00" + "1f05"
                    + "0e00"),
            hex("05" + "0001010001" + "0600030400050006001100" + "1300" + "1d0001" + "1a08" + "1c0801" + "1f0f00"),
            hex("1b" + "1a03" + "1a04" + "17051706" + "1e0101" + "1705" + "1f0b"),
        ]
    }

    static func hex(_ text: String) -> [UInt8] { Hex.decode(text) ?? [] }
}
