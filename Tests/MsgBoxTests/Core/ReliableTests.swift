import MsgBox
import Testing

@Suite("Reliable messages over UDP", .transitions)
struct ReliableTests {
  /// Loss of 1000, and the seed.
  static let paths: [(Int, UInt64)] = [(0, 1), (10, 2), (100, 3), (300, 4)]

  @Test(
    "Mixed sizes in five channels both ways arrive once, in order per channel, and with one outcome",
    arguments: paths)
  func exactlyOnce(loss: Int, seed: UInt64) throws {
    var conditions = LinkConditions()
    conditions.loss = loss
    conditions.duplication = 30
    conditions.reordering = 100
    conditions.jitter = .milliseconds(5)
    var options = roomyOptions()
    options.lost = .seconds(600)
    let pair = try Pair(
      .udp, seed: seed, serverOptions: options, clientOptions: options, conditions: conditions)
    let upward = send(600, from: pair.client, pair.up, pair.simulation)
    let downward = send(600, from: pair.server, pair.down, pair.simulation)
    pair.simulation.run(within: .seconds(600)) {
      pair.client.log.count(.delivered) == 600 && pair.server.log.count(.delivered) == 600
    }
    check(upward, arrivedAt: pair.server, from: pair.client)
    check(downward, arrivedAt: pair.client, from: pair.server)
    pair.simulation.changeAll { $0.loss = 0 }
    pair.finish()
  }

  /// Sends that many messages of random sizes and channels in the course of a second; how many are
  /// for each channel.
  private func send(
    _ count: Int, from node: Node, _ handle: Handle, _ simulation: Simulation
  ) -> [Int] {
    var sent = [Int](repeating: 0, count: 5)
    for number in 0..<count {
      let channel = simulation.random.below(5)
      let isLarge = simulation.random.chance(50)
      let size = 5 + simulation.random.below(isLarge ? 30_000 : 300)
      let bytes = Marked.bytes(channel: UInt8(channel), index: sent[channel], size: size)
      sent[channel] += 1
      simulation.schedule(after: .milliseconds(UInt64(number * 1000 / count))) {
        let status = node.sendReliably(
          bytes, to: handle, channel: UInt8(channel), outcome: UInt(number + 1))
        #expect(status == .ok)
      }
    }
    return sent
  }

  private func check(_ sent: [Int], arrivedAt node: Node, from sender: Node) {
    var arrived = [[Int]](repeating: [], count: 5)
    for message in node.log.all(.message) {
      guard let mark = Marked.read(message.bytes) else {
        Issue.record("a message is not what was sent")
        continue
      }
      arrived[Int(mark.channel)].append(mark.index)
    }
    #expect(arrived[0].sorted() == Array(0..<sent[0]))
    for channel in 1..<5 { #expect(arrived[channel] == Array(0..<sent[channel])) }
    #expect(sender.deliveredContexts.sorted() == (1...UInt(sent.reduce(0, +))).map { $0 })
    #expect(sender.log.count(.undelivered) == 0)
  }

  @Test("A loss in one channel holds up nothing in the others, and nothing in the unordered one")
  func independence() throws {
    let pair = try Pair(.udp)
    var isFirst = true
    pair.simulation.onDatagram = { datagram in
      guard isFirst, datagram.number != nil else { return true }
      isFirst = false
      return false
    }
    #expect(pair.client.sendReliably([1, 0], to: pair.up, channel: 1) == .ok)
    pair.run(for: .milliseconds(1))
    let rest: [(UInt8, [UInt8])] = [(1, [1, 1]), (2, [2, 0]), (0, [0, 0]), (2, [2, 1])]
    for (channel, bytes) in rest {
      #expect(pair.client.sendReliably(bytes, to: pair.up, channel: channel) == .ok)
    }
    pair.run(for: .milliseconds(10))
    #expect(pair.server.log.all(.message).map(\.bytes) == [[2, 0], [0, 0], [2, 1]])
    #expect(pair.server.census.incompleteBytes == 66)
    #expect(pair.server.wait(for: .message, count: 5)?.bytes == [1, 1])
    #expect(pair.server.log.all(.message)[3].bytes == [1, 0])
    #expect(pair.server.census.incompleteBytes == 0)
    pair.finish()
  }

  @Test("A message of 8 MiB in one channel delays a small one in another by a few datagrams")
  func lanes() throws {
    let options = roomyOptions(largest: 8_388_608)
    let pair = try Pair(.udp, serverOptions: options, clientOptions: options)
    let large = [UInt8](repeating: 9, count: 8_388_608)
    #expect(pair.client.sendReliably(large, to: pair.up, channel: 1) == .ok)
    // Ten round trips of 20 ms would do for all of it.
    pair.run(for: .milliseconds(110))
    var datagrams = 0
    pair.simulation.onDatagram = { datagram in
      if datagram.number != nil, pair.server.log.count(.message) == 0 { datagrams += 1 }
      return true
    }
    let sentAt = pair.simulation.now
    #expect(pair.client.sendReliably([7], to: pair.up, channel: 2) == .ok)
    let small = try #require(pair.server.wait(for: .message))
    #expect(small.bytes.count == 1)
    #expect(small.time.since(sentAt) <= .milliseconds(31))
    #expect(datagrams < 4000, "not the whole of the large one")
    let second = try #require(pair.server.wait(for: .message, count: 2, within: .seconds(120)))
    #expect(Content.areEqual(second.bytes, large))
    pair.finish()
  }

  @Test("Sizes on both sides of a packet arrive, reliable or not, and those above the largest not")
  func sizes() throws {
    let largest: UInt32 = 5000
    let options = roomyOptions(largest: largest)
    let pair = try Pair(.udp, serverOptions: options, clientOptions: options)
    let bytes = { (size: Int) in (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ size) } }
    let sizes = [0, 1, 1160, 1161, 1162, 2321, 2322, 2323, 4999, 5000]
    for size in sizes {
      #expect(pair.client.sendReliably(bytes(size), to: pair.up, channel: 9) == .ok)
    }
    #expect(pair.client.sendReliably(bytes(5001), to: pair.up) == .tooBig)
    _ = try #require(pair.server.wait(for: .message, count: sizes.count))
    #expect(pair.server.log.all(.message).map(\.bytes) == sizes.map(bytes))
    pair.finish()
  }

  @Test("A new message takes the place of one with its key that waits, also from another channel")
  func keys() throws {
    var conditions = LinkConditions()
    conditions.latency = .milliseconds(100)
    let pair = try Pair(.udp, conditions: conditions)
    // More than the first window, so that what follows waits.
    #expect(pair.client.sendReliably([UInt8](repeating: 1, count: 60_000), to: pair.up) == .ok)
    pair.run(for: .milliseconds(10))
    let client = pair.client
    #expect(client.sendReliably([1], to: pair.up, channel: 1, outcome: 1, key: 5) == .ok)
    #expect(client.sendReliably([2], to: pair.up, channel: 1, outcome: 2, key: 6) == .ok)
    #expect(client.sendReliably([3], to: pair.up, channel: 1, outcome: 3, key: 5) == .ok)
    #expect(client.sendReliably([4], to: pair.up, channel: 2, outcome: 4, key: 6) == .ok)
    pair.run(for: .milliseconds(1))
    #expect(client.undelivered == [1: .superseded, 2: .superseded])
    _ = try #require(pair.server.wait(for: .message, count: 3))
    pair.run(for: .seconds(1))
    let small = pair.server.log.all(.message).map(\.bytes).filter { $0.count == 1 }
    #expect(small.sorted { $0[0] < $1[0] } == [[3], [4]])
    #expect(client.deliveredContexts.sorted() == [3, 4])
    #expect(client.dropped(.superseded) == 2)
    pair.finish()
  }

  @Test("What is not on the wire by its deadline is dropped and told, and leaves no gap")
  func deadlines() throws {
    var conditions = LinkConditions()
    conditions.latency = .milliseconds(100)
    let pair = try Pair(.udp, conditions: conditions)
    let client = pair.client
    #expect(client.sendReliably([UInt8](repeating: 1, count: 60_000), to: pair.up) == .ok)
    pair.run(for: .milliseconds(10))
    let deadline = Interval.milliseconds(50)
    #expect(
      client.sendReliably([1], to: pair.up, channel: 1, outcome: 1, key: 0, deadline: deadline)
        == .ok)
    #expect(client.sendReliably([2], to: pair.up, channel: 1, outcome: 2) == .ok)
    _ = try #require(client.wait(for: .delivered))
    #expect(client.undelivered == [1: .expired])
    #expect(client.deliveredContexts == [2])
    pair.run(for: .seconds(5))
    #expect(pair.server.log.all(.message).map(\.bytes.count).sorted() == [1, 60_000])
    #expect(client.dropped(.expired) == 1)
    // What began in time is sent to its end.
    #expect(
      client.sendReliably(
        [UInt8](repeating: 3, count: 90_000), to: pair.up, channel: 0, outcome: 3, key: 0,
        deadline: deadline) == .ok)
    #expect(client.wait(for: .delivered, count: 2)?.getContext == 3)
    pair.finish()
  }

  @Test("Numbers, places and ids go on over the end of 32 bits")
  func wrap() throws {
    let simulation = Simulation(seed: 11)
    simulation.conditions.loss = 100
    simulation.conditions.reordering = 100
    var configuration = EndpointConfiguration()
    configuration.firstNumber = .max - 60
    let server = simulation.addNode("server", configuration: configuration)
    let client = simulation.addNode("client", configuration: configuration)
    let listener = server.listen(.udp)
    _ = try #require(server.wait(for: .listening))
    let up = client.connect(.udp, to: server.address(of: listener))
    _ = try #require(client.wait(for: .connectionSetup))
    for index in 0..<300 {
      simulation.run(for: .milliseconds(3))
      for channel in UInt8(0)...1 {
        let bytes = Marked.bytes(channel: channel, index: index, size: index % 50 == 0 ? 4000 : 20)
        let context = UInt(index * 2 + Int(channel) + 1)
        #expect(client.sendReliably(bytes, to: up, channel: channel, outcome: context) == .ok)
      }
    }
    _ = try #require(client.wait(for: .delivered, count: 600, within: .seconds(60)))
    let marks = server.log.all(.message).compactMap { Marked.read($0.bytes) }
    #expect(marks.filter { $0.channel == 1 }.map(\.index) == Array(0..<300))
    #expect(marks.filter { $0.channel == 0 }.map(\.index).sorted() == Array(0..<300))
    simulation.changeAll { $0.loss = 0 }
    finishAll(simulation)
  }

  @Test("Acks travel with data that goes back, and an echo needs no datagrams of their own")
  func packedAcks() throws {
    let pair = try Pair(.udp)
    pair.server.onEvent = { node, event in
      guard event.kind == .message else { return }
      _ = node.sendReliably(event.bytes, to: event.handle, channel: 1)
    }
    var alone = 0
    var fromServer = 0
    pair.simulation.onDatagram = { datagram in
      if datagram.from.ip == pair.server.ip {
        fromServer += 1
        if datagram.acknowledged != nil { alone += 1 }
      }
      return true
    }
    for index in UInt8(0)..<20 {
      #expect(pair.client.sendReliably([index], to: pair.up, channel: 1) == .ok)
      pair.run(for: .milliseconds(30))
    }
    #expect(pair.client.log.all(.message).map(\.bytes) == (UInt8(0)..<20).map { [$0] })
    #expect(alone == 0)
    #expect(fromServer == 20)
    pair.finish()
  }
}
