import CMsgBox
import MsgBox
import Testing

/// Datagrams that leave and arrive together (UDP_SEGMENT, UDP_GRO).
@Suite struct TrainTests {
  /// Datagrams that differ in their bytes.
  private func datagrams(_ sizes: [Int]) -> [[UInt8]] {
    sizes.enumerated().map { index, size in
      (0..<size).map { UInt8(truncatingIfNeeded: index &* 7 &+ $0) }
    }
  }

  /// Sends all on a connected socket, and gives what comes, train by train.
  private func exchange(
    _ sent: [[UInt8]], _ host: Locator.Host = loopback, trains: inout Trains
  ) throws -> [[[UInt8]]] {
    let server = try UDPSocket.bind(host: host, port: 0, bufferBytes: 1_000_000)
    let client = try UDPSocket.connect(to: server.local, bufferBytes: 1_000_000)
    let batch = try #require(DatagramBatch())
    for (index, bytes) in sent.enumerated() { batch.put(bytes, at: index, to: .unspecified) }
    let left = try batch.send(
      0..<sent.count, on: client.descriptor.rawValue, isIPv6: client.isIPv6, isConnected: true,
      trains: &trains)
    #expect(left == sent.count)
    return try receive(sent.count, on: server.descriptor.rawValue, batch)
  }

  private func receive(
    _ count: Int, on descriptor: Int32, _ batch: DatagramBatch
  ) throws -> [[[UInt8]]] {
    var came: [[[UInt8]]] = []
    while came.joined().count < count {
      try waitFor(.readable, descriptor)
      for index in 0..<(try batch.receive(from: descriptor)) {
        #expect(!batch.received(index).isTruncated)
        came.append(batch.receivedDatagrams(index))
      }
    }
    return came
  }

  /// Whether the system here sends and receives trains.
  private var isSupported: Bool {
    get throws {
      var trains = Trains()
      return try exchange(datagrams([9, 9]), trains: &trains).count == 1
    }
  }

  @Test(
    "Datagrams of any sizes keep their bounds and their order", arguments: [loopback, loopbackIPv6])
  func mixedSizes(host: Locator.Host) throws {
    let sizes = [100, 100, 100, 40, 1200, 1200, 7, 8, 0, 0, 1, 1, 1, 500, 499, 500, 500, 1]
    let sent = datagrams(sizes)
    var trains = Trains()
    let came = try exchange(sent, host, trains: &trains)
    #expect([[UInt8]](came.joined()) == sent)
    if try isSupported {
      #expect(came.map(\.count) == [4, 3, 1, 1, 1, 3, 2, 3])
      #expect(trains.areSupported)
    }
  }

  @Test("A train has at most 64 datagrams and 65507 bytes", arguments: [loopback, loopbackIPv6])
  func limits(host: Locator.Host) throws {
    guard try isSupported else { return }
    for (size, lengths) in [(1280, [51, 13]), (1200, [54, 10]), (1023, [64]), (1, [64])] {
      let sent = datagrams([Int](repeating: size, count: 64))
      var trains = Trains()
      let came = try exchange(sent, host, trains: &trains)
      #expect([[UInt8]](came.joined()) == sent)
      #expect(came.map(\.count) == lengths)
    }
  }

  @Test(
    "Datagrams leave together only on one path",
    arguments: [Locator.Host.any, .ip(IPAddress(v4: 0))])
  func paths(host: Locator.Host) throws {
    let server = try UDPSocket.bind(host: host, port: 0, bufferBytes: 65536)
    let one = try UDPSocket.bind(host: loopback, port: 0, bufferBytes: 65536)
    let two = try UDPSocket.bind(host: loopback, port: 0, bufferBytes: 65536)
    let batch = try #require(DatagramBatch())
    let sent = datagrams([Int](repeating: 50, count: 6))
    let from = [1, 1, 2, 2, 2, 2].map { Address(ip: IPAddress(v4: 0x7f00_0000 + $0), port: 0) }
    let to = [one.local, one.local, one.local, one.local, two.local, two.local]
    for index in sent.indices {
      batch.put(sent[index], at: index, to: to[index], from: from[index])
    }
    #expect(
      try batch.send(
        0..<6, on: server.descriptor.rawValue, isIPv6: server.isIPv6, isConnected: false) == 6)
    #expect(
      try [[UInt8]](receive(4, on: one.descriptor.rawValue, batch).joined())
        == [[UInt8]](sent[..<4]))
    #expect(
      try [[UInt8]](receive(2, on: two.descriptor.rawValue, batch).joined())
        == [[UInt8]](sent[4...]))
    #expect(batch.received(0).remote.ip == from[4].ip)
  }

  @Test("A wildcard is told the address that a train was sent to")
  func localAddress() throws {
    let server = try UDPSocket.bind(host: .any, port: 0, bufferBytes: 65536)
    let asked = Address(ip: IPAddress(v4: 0x7f00_0003), port: server.local.port)
    let client = try UDPSocket.connect(to: asked, bufferBytes: 65536)
    let batch = try #require(DatagramBatch())
    let sent = datagrams([30, 30, 30])
    for index in sent.indices { batch.put(sent[index], at: index, to: .unspecified) }
    _ = try batch.send(
      0..<3, on: client.descriptor.rawValue, isIPv6: client.isIPv6, isConnected: true)
    #expect(try [[UInt8]](receive(3, on: server.descriptor.rawValue, batch).joined()) == sent)
    #expect(batch.received(0).local.ip == asked.ip)
    #expect(batch.received(0).remote == client.local)
  }

  @Test(
    "A system that refuses trains gets the same datagrams one by one, and is asked no more",
    arguments: [CMSGBOX_EINVAL, CMSGBOX_EIO])
  func refused(error: Int32) throws {
    try withFaults {
      let sent = datagrams([20, 20, 20, 5])
      var trains = Trains()
      fail(CMSGBOX_CALL_SEND_BATCH, with: Errno(rawValue: error))
      let came = try exchange(sent, trains: &trains)
      #expect(came == sent.map { [$0] })
      #expect(!trains.areSupported)
      let later = try exchange(sent, trains: &trains)
      #expect(later == sent.map { [$0] })
      #expect(cmsgbox_fault_clear() == 1)
    }
  }

  @Test("A train that cannot go where it is to go says nothing of others")
  func nowhere() throws {
    let server = try UDPSocket.bind(host: loopback, port: 0, bufferBytes: 65536)
    let batch = try #require(DatagramBatch())
    var trains = Trains()
    let nowhere = Address(ip: IPAddress(v4: 0x7f00_0001), port: 0)
    for index in 0..<2 { batch.put([1, 2], at: index, to: nowhere) }
    #expect(throws: Errno.invalidArgument) {
      try batch.send(
        0..<2, on: server.descriptor.rawValue, isIPv6: false, isConnected: false, trains: &trains)
    }
    #expect(trains.areSupported)
  }

  @Test("A train that is too large for its path goes in pieces, later ones do not")
  func tooLarge() throws {
    guard try isSupported else { return }
    try withFaults {
      let sent = datagrams([20, 20, 20, 5])
      var trains = Trains()
      fail(CMSGBOX_CALL_SEND_BATCH, with: .messageTooLong)
      let came = try exchange(sent, trains: &trains)
      #expect(came == sent.map { [$0] })
      #expect(trains.areSupported)
      let later = try exchange(sent, trains: &trains)
      #expect(later == [sent])
    }
  }

  @Test("Of a train for which there is no room, or that is cut short, nothing is doubled")
  func noRoom() throws {
    let server = try UDPSocket.bind(host: loopback, port: 0, bufferBytes: 65536)
    let client = try UDPSocket.connect(to: server.local, bufferBytes: 65536)
    let descriptor = client.descriptor.rawValue
    let batch = try #require(DatagramBatch())
    let sent = datagrams([9, 9, 9, 9, 9])
    for index in sent.indices { batch.put(sent[index], at: index, to: .unspecified) }
    try withFaults {
      cutShort(CMSGBOX_CALL_SEND_BATCH, to: 2)
      let part = try batch.send(0..<5, on: descriptor, isIPv6: false, isConnected: true)
      #expect(part == 2)
      for error in [Errno.wouldBlock, .connectionRefused] {
        fail(CMSGBOX_CALL_SEND_BATCH, with: error)
        #expect(throws: error) {
          try batch.send(2..<5, on: descriptor, isIPv6: false, isConnected: true)
        }
      }
      let rest = try batch.send(2..<5, on: descriptor, isIPv6: false, isConnected: true)
      #expect(rest == 3)
      let came = try receive(5, on: server.descriptor.rawValue, batch)
      #expect([[UInt8]](came.joined()) == sent)
    }
  }

  @Test("A train longer than its slot is seen to be, and its first datagrams are whole")
  func truncated() throws {
    guard try isSupported else { return }
    let server = try UDPSocket.bind(host: loopback, port: 0, bufferBytes: 65536)
    let client = try UDPSocket.connect(to: server.local, bufferBytes: 65536)
    let batch = try #require(DatagramBatch())
    let sent = datagrams([100, 100, 100, 100])
    for index in sent.indices { batch.put(sent[index], at: index, to: .unspecified) }
    _ = try batch.send(0..<4, on: client.descriptor.rawValue, isIPv6: false, isConnected: true)
    try waitFor(.readable, server.descriptor.rawValue)
    #expect(try batch.receive(from: server.descriptor.rawValue, slotBytes: 250) == 1)
    #expect(batch.received(0).isTruncated)
    #expect(batch.receivedDatagrams(0) == [sent[0], sent[1], [UInt8](sent[2][..<50])])
  }

  @Test("Long trains are received a few at a time, and short ones in full batches again")
  func longTrains() throws {
    guard try isSupported else { return }
    let server = try UDPSocket.bind(host: loopback, port: 0, bufferBytes: 4_000_000)
    let client = try UDPSocket.connect(to: server.local, bufferBytes: 4_000_000)
    let batch = try #require(DatagramBatch())
    func send(_ sizes: [Int]) throws {
      let sent = datagrams(sizes)
      for index in sent.indices { batch.put(sent[index], at: index, to: .unspecified) }
      #expect(
        try batch.send(
          0..<sent.count, on: client.descriptor.rawValue, isIPv6: false, isConnected: true)
          == sent.count)
    }
    let long = [Int](repeating: 1200, count: 54)
    try send(long)
    try waitFor(.readable, server.descriptor.rawValue)
    #expect(try batch.receive(from: server.descriptor.rawValue) == 1)
    #expect(!batch.isFull)
    for size in 1...10 { try send([size]) }
    try waitFor(.readable, server.descriptor.rawValue)
    #expect(try batch.receive(from: server.descriptor.rawValue) == 4)
    #expect(batch.isFull)
    #expect(try batch.receive(from: server.descriptor.rawValue) == 6)
    #expect(!batch.isFull)
  }
}
