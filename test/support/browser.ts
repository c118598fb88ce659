/** A real Chromium without a window, driven by Playwright. The Debian package chromium has it; `.ci/run` installs it. */
import { type Browser, chromium } from 'playwright-core'

export function openBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] })
}

/** @returns the document of a page after its scripts have asked for what they show, as HTML. */
export async function documentOf(url: string): Promise<string> {
  const browser = await openBrowser()
  try {
    const page = await browser.newPage()
    await page.goto(url, { waitUntil: 'networkidle' })
    return await page.content()
  } finally {
    await browser.close()
  }
}
