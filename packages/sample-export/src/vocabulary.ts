import type { NonEmpty } from './random.ts'

/** What Heap writes about a device. Browser and platform carry their version after a space, and not always. */
export interface Device {
  library: 'web' | 'ios' | 'android'
  platform: string
  browser: string | null
  deviceType: string
  device: string | null
  carrier: string | null
  userAgent: string | null
}

const mozilla = (system: string, rest: string) => `Mozilla/5.0 (${system}) ${rest}`
const webKit = 'AppleWebKit/537.36 (KHTML, like Gecko)'

function web(platform: string, browser: string, deviceType: string, userAgent: string | null): Device {
  return { library: 'web', platform, browser, deviceType, device: null, carrier: null, userAgent }
}

export const devices: NonEmpty<readonly [number, Device]> = [
  [
    24,
    web(
      'Windows 10',
      'Chrome 120.0.0',
      'Desktop',
      mozilla('Windows NT 10.0; Win64; x64', `${webKit} Chrome/120.0.0.0 Safari/537.36`),
    ),
  ],
  [
    16,
    web(
      'Mac OS X 10.15.7',
      'Chrome 121.0.0',
      'Desktop',
      mozilla('Macintosh; Intel Mac OS X 10_15_7', `${webKit} Chrome/121.0.0.0 Safari/537.36`),
    ),
  ],
  [
    10,
    web(
      'Mac OS X 10.15.7',
      'Safari 17.1.2',
      'Desktop',
      mozilla(
        'Macintosh; Intel Mac OS X 10_15_7',
        'AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1.2 Safari/605.1.15',
      ),
    ),
  ],
  [
    16,
    {
      ...web(
        'iOS 17.2.1',
        'Mobile Safari 17.2',
        'Mobile',
        mozilla(
          'iPhone; CPU iPhone OS 17_2_1 like Mac OS X',
          'AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148',
        ),
      ),
      device: 'iPhone',
    },
  ],
  [
    12,
    {
      ...web(
        'Android 14',
        'Chrome Mobile 120.0.6099',
        'Mobile',
        mozilla('Linux; Android 14; K', `${webKit} Chrome/120.0.6099.144 Mobile Safari/537.36`),
      ),
      device: 'K',
    },
  ],
  [4, web('Windows 11', 'Edge 119.0.2151', 'Desktop', null)],
  [
    3,
    web(
      'Ubuntu',
      'Firefox 121.0',
      'Desktop',
      mozilla('X11; Ubuntu; Linux x86_64; rv:121.0', 'Gecko/20100101 Firefox/121.0'),
    ),
  ],
  [2, web('Linux', 'Chrome 118.0.0', 'Desktop', null)],
  [1, web('Windows XP', 'IE 8.0', 'Desktop', null)],
  [1, web('Windows Phone 8.1', 'IE Mobile 11.0', 'Mobile', null)],
  [1, web('Chrome OS 14541.0.0', 'Chrome 116.0.5845.187', 'Desktop', null)],
  [1, web('Android', 'Samsung Internet 23.0', 'Tablet', null)],
  [1, web('iOS 16.6', 'Chrome Mobile iOS 120.0.6099', 'Tablet', null)],
  [1, web('iOS 17.0', 'Mobile Safari UI/WKWebView', 'Mobile', null)],
  [1, web('Android 2.1 update1', 'Android 2.1 update1', 'Mobile', null)],
  [
    1,
    web(
      'Other',
      'SemrushBot',
      'Desktop',
      'Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)',
    ),
  ],
  [1, web('Other', 'SchemaBot 1.2', 'Desktop', null)],
  [
    3,
    {
      library: 'ios',
      platform: 'iOS 17.2',
      browser: null,
      deviceType: 'Mobile',
      device: 'iPhone15,3',
      carrier: 'T-Mobile',
      userAgent: null,
    },
  ],
  [
    2,
    {
      library: 'android',
      platform: 'Android 13',
      browser: null,
      deviceType: 'Mobile',
      device: 'SM-G991U',
      carrier: 'Verizon',
      userAgent: null,
    },
  ],
]

/** [country, region, city], English names as Heap has them. */
export const places: NonEmpty<readonly [number, readonly [string, string, string]]> = [
  [20, ['United States', 'California', 'San Francisco']],
  [12, ['United States', 'New York', 'New York']],
  [8, ['United States', 'Texas', 'Austin']],
  [8, ['United Kingdom', 'England', 'London']],
  [7, ['Germany', 'Bavaria', 'Munich']],
  [5, ['Canada', 'Quebec', 'Montréal']],
  [5, ['Brazil', 'São Paulo', 'São Paulo']],
  [5, ['India', 'Karnataka', 'Bengaluru']],
  [4, ['Japan', 'Tokyo', 'Shibuya']],
  [3, ['Turkey', 'Istanbul', 'İstanbul']],
]

export interface Page {
  path: string
  title: string
}

export const pages: NonEmpty<readonly [number, Page]> = [
  [30, { path: '/', title: 'Cool App: work that stays done' }],
  [18, { path: '/pricing/', title: 'Pricing, plans and limits | Cool App' }],
  [12, { path: '/features/automation', title: 'Automation for teams of any size | Cool App' }],
  [10, { path: '/blog/how-we-moved-a-billion-rows', title: 'How we moved a billion rows | Cool App blog' }],
  [10, { path: '/app/dashboard', title: 'Dashboard' }],
  [8, { path: '/app/projects/4711/settings', title: 'Project settings' }],
  [6, { path: '/signup', title: 'Start your free trial | Cool App' }],
  [6, { path: '/checkout/complete', title: 'Thank you for your order' }],
]

export const screens: NonEmpty<string> = [
  'HomeViewController',
  'CartViewController',
  'SettingsActivity',
  'OrderActivity',
]

export interface Campaign {
  referrer: string | null
  source: string | null
  medium: string | null
  campaign: string | null
  term: string | null
  content: string | null
  /** As it came with the first page, with its `?`. */
  query: string | null
}

const noCampaign: Campaign = {
  referrer: null,
  source: null,
  medium: null,
  campaign: null,
  term: null,
  content: null,
  query: null,
}

export const campaigns: NonEmpty<readonly [number, Campaign]> = [
  [40, noCampaign],
  [20, { ...noCampaign, referrer: 'https://www.google.com/' }],
  [8, { ...noCampaign, referrer: 'https://news.ycombinator.com/item?id=38765432' }],
  [3, { ...noCampaign, referrer: 'android-app://com.google.android.gm/' }],
  [
    14,
    {
      referrer: 'https://www.google.com/',
      source: 'google',
      medium: 'cpc',
      campaign: 'brand_us_2025',
      term: 'cool app',
      content: 'ad_a',
      query: '?utm_source=google&utm_medium=cpc&utm_campaign=brand_us_2025&gclid=Cj0KCQiAtaOtBhCwARIsAN_x',
    },
  ],
  [
    10,
    {
      ...noCampaign,
      source: 'newsletter',
      medium: 'email',
      campaign: 'weekly-digest',
      query: '?utm_source=newsletter&utm_medium=email&utm_campaign=weekly-digest&e=%2B49',
    },
  ],
  [
    5,
    {
      ...noCampaign,
      referrer: 'https://l.facebook.com/',
      source: 'facebook',
      medium: 'paid_social',
      query: '?fbclid=IwAR0aBcDeFgHiJkLmNoPqRsTuVwXyZ&utm_source=facebook&utm_medium=paid_social',
    },
  ],
]

export const buttons: NonEmpty<string> = [
  'Start free trial',
  'Get started',
  'See plans',
  'Talk to sales',
  'Sign up, free',
]
