import MsgBox
import Testing

@Suite("Fairness")
struct FairnessTests {
  @Test("Peers with packets of 40 to 1200 bytes are within one quantum of each other")
  func bytes() throws {
    let crowd = try Crowd(.udp, count: 10)
    let server = crowd.server
    // One message a datagram: whatever is behind it does not fit any more.
    for (index, handle) in crowd.down.enumerated() {
      for step in 0..<60 {
        let small = 40 + index * 100
        let size = step % 2 == 0 ? small : 1180 - small
        #expect(server.send([UInt8](repeating: 1, count: size), to: handle) == .ok)
      }
    }
    server.setLimits { $0.turnDatagrams = 1 }
    var bytes: [Address: Int] = [:]
    var rounds = 0
    for _ in 0..<400 {
      let sent = server.turnByHand()
      for datagram in sent { bytes[datagram.remote, default: 0] += datagram.count }
      guard bytes.count == 10, bytes.values.min() ?? 0 >= (rounds + 1) * 1200 else { continue }
      rounds += 1
      let most = bytes.values.max() ?? 0
      let least = bytes.values.min() ?? 0
      // All have had as many quanta, and nobody the next one yet.
      #expect(most - least < 1200)
    }
    #expect(rounds >= 10)
  }

  @Test("After each round all are within one quantum", arguments: [100, 588, 700, 1000, 1184])
  func rounds(size: Int) throws {
    let crowd = try Crowd(.udp, count: 7)
    let server = crowd.server
    for (index, handle) in crowd.down.enumerated() {
      let mine = index % 2 == 0 ? size : 1184
      while server.send([UInt8](repeating: 1, count: mine), to: handle) == .ok {}
    }
    server.setLimits { $0.turnDatagrams = 1 }
    var bytes: [Address: Int] = [:]
    for _ in 0..<500 {
      for datagram in server.turnByHand() { bytes[datagram.remote, default: 0] += datagram.count }
      let most = bytes.values.max() ?? 0
      // Within a round each has had its quantum of this round, or of the one before.
      if bytes.count == 7 { #expect(most - (bytes.values.min() ?? 0) <= 2 * 1200) }
    }
    let shares = bytes.values.map { $0 / 1200 }
    #expect((shares.max() ?? 0) - (shares.min() ?? 0) <= 1)
  }

  @Test(
    "2000 peers and 1000 datagrams a turn: nobody starves over two turns",
    arguments: [40, 600, 1000, 1184])
  func starvation(size: Int) throws {
    let crowd = try Crowd(.udp, count: 2000)
    let server = crowd.server
    for handle in crowd.down {
      for _ in 0..<10 {
        #expect(server.send([UInt8](repeating: 1, count: size), to: handle) == .ok)
      }
    }
    for _ in 0..<(size == 40 ? 1 : 3) {
      let turns = [server.turnByHand(), server.turnByHand()]
      #expect(turns.map(\.count) == [1000, 1000])
      #expect(Set(turns.joined().map(\.remote)).count == 2000)
    }
  }

  @Test("Who is always empty and always comes again does not hold up the others")
  func newcomers() throws {
    let crowd = try Crowd(.udp, count: 3)
    let server = crowd.server
    for handle in crowd.down[1...] {
      for _ in 0..<100 {
        #expect(server.send([UInt8](repeating: 1, count: 1000), to: handle) == .ok)
      }
    }
    server.setLimits { $0.turnDatagrams = 1 }
    var counts: [Address: Int] = [:]
    for _ in 0..<90 {
      _ = server.send([UInt8](repeating: 1, count: 1000), to: crowd.down[0])
      for sent in server.turnByHand() { counts[sent.remote, default: 0] += 1 }
    }
    #expect(counts.count == 3)
    #expect(counts.values.allSatisfy { abs($0 - 30) <= 2 })
  }

  @Test("Streams take turns of 256 KiB")
  func streams() throws {
    var options = ConnectionOptions()
    options.sendMarkBytes = 4_000_000
    let crowd = try Crowd(.tcp, count: 3, options: options)
    for handle in crowd.down {
      #expect(crowd.server.send([UInt8](repeating: 1, count: 1_000_000), to: handle) == .ok)
    }
    var order: [SocketID] = []
    while let id = crowd.server.endpoint.pollStream(at: crowd.server.now) {
      order.append(id)
      crowd.server.endpoint.writeStream(id, at: crowd.server.now) { bytes in
        #expect(bytes.count <= 262_144)
        return bytes.count
      }
    }
    #expect(order.count == 12)
    #expect(Set(order[..<3]).count == 3 && Set(order[3..<6]).count == 3)
  }

  @Test("The end of a box sends each of its closes, however many datagrams a turn may send")
  func shutDown() throws {
    let crowd = try Crowd(.udp, count: 50)
    crowd.server.setLimits { $0.turnDatagrams = 10 }
    crowd.server.endpoint.shutDown(at: crowd.server.now)
    #expect(crowd.server.turnByHand().count == 50)
  }
}
